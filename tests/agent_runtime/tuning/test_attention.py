"""The proof of tuning: what is trained is what the engine computes from blocks that were encoded alone and stored."""

import warnings
from collections.abc import Sequence

import numpy
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.nn.attention.flex_attention import flex_attention
from transformers import PreTrainedModel

from agent_runtime.engine.positions import Positions
from agent_runtime.engine.rope import RotaryTable
from agent_runtime.engine.runs import Run
from agent_runtime.engine.span import NOTHING, Placed, Span, View, view_of_blocks
from agent_runtime.tuning.attention import TILE, TRAINING, Planner, Seen, register
from agent_runtime.tuning.packing import batch_of, joined
from agent_runtime.tuning.rows import TRAINED_MODES, TokenAsk, TokenSample, row_of
from agent_runtime.tuning.student import Decisions, losses_of
from agent_runtime.turn import Mode
from tests.agent_runtime.engine.worlds import World, random_ids, world
from tests.agent_runtime.tuning.synchronising import synchronising
from tests.tiny_models import ACCEPTED, CONTEXT

CPU = torch.device("cpu")


def random_sample(rng: numpy.random.Generator, lengths: Sequence[int], num_asks: int) -> TokenSample:
    def ids(most: int) -> tuple[int, ...]:
        return tuple(random_ids(rng, int(rng.integers(1, most))))

    asks = tuple(TokenAsk(ids(9), tuple(ids(5) for _ in range(1 + index % 3))) for index in range(num_asks))
    return TokenSample(tuple(tuple(random_ids(rng, n)) for n in lengths), asks)


def trained_logits(
    model: PreTrainedModel, samples: Sequence[TokenSample], mode: Mode, length: int, positions: Positions
) -> torch.Tensor:
    """Logits [N, V] of what one packed row predicts."""
    register()
    model.set_attn_implementation(TRAINING)
    batch = batch_of([joined([row_of(sample, mode, positions) for sample in samples], length)])
    plan = Planner(RotaryTable(model.model.rotary_emb.inv_freq, CONTEXT), CPU).plan(batch)
    with torch.inference_mode():
        made: torch.Tensor = model(
            batch.ids, position_ids=torch.zeros_like(batch.ids), use_cache=False, plan=plan
        ).logits
    return made[0, batch.wanted]


def stored(w: World, run: Run) -> Run:
    """A copy of a run as it comes back from the disk, in other slots."""
    kept = {name: tensor.clone() for name, tensor in w.pool.read(run).items()}
    copy = w.pool.acquire(run.length)
    w.pool.write(copy, kept["k"], kept["v"])
    w.pool.release(run)
    return copy


def engine_logits(w: World, sample: TokenSample, mode: Mode, positions: Positions) -> list[torch.Tensor]:
    """Logits behind every answer, each with its own prompt; blocks are encoded alone, stored, loaded and placed."""
    blocks = [sum(sample.blocks, ())] if mode is Mode.FULL else sample.blocks
    runs: list[Run] = []
    for index, ids in enumerate(blocks):
        behind = View((Placed(runs[0], 0),)) if mode is Mode.ANCHORED and index else NOTHING
        run = w.pool.acquire(len(ids))
        w.runner.run([Span(ids, behind.length, behind, keep=run)])
        runs.append(stored(w, run))
    view = view_of_blocks(runs, anchored=mode is Mode.ANCHORED, positions=positions)
    made = []
    for ask in sample.asks:
        for answer in ask.answers:
            span = Span((*ask.observation, *answer[:-1]), view.behind, view, wanted="all")
            made.append(w.runner.run([span])[span][-len(answer) :])
    for run in runs:
        w.pool.release(run)
    return made


def agree(w: World, samples: Sequence[TokenSample], mode: Mode, positions: Positions = Positions.SEQUENTIAL) -> None:
    length = sum(sample.num_tokens for sample in samples) + 3
    trained = trained_logits(w.twin, samples, mode, length, positions)
    theirs = torch.cat([each for sample in samples for each in engine_logits(w, sample, mode, positions)])
    assert theirs.abs().max(-1).values.min() > 1, "a reference this flat proves nothing"
    torch.testing.assert_close(trained, theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("positions", Positions)
@pytest.mark.parametrize("mode", TRAINED_MODES)
@pytest.mark.parametrize("kind", ACCEPTED)
def test_a_packed_row_gives_the_logits_of_stored_and_placed_blocks(kind: str, mode: Mode, positions: Positions) -> None:
    w, rng = world(kind), numpy.random.default_rng(1)
    agree(w, [random_sample(rng, rng.integers(1, 20, size=6).tolist(), 3) for _ in range(3)], mode, positions)


@settings(max_examples=15, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=12),
    num_asks=st.integers(1, 4),
    mode=st.sampled_from(TRAINED_MODES),
    positions=st.sampled_from(Positions),
    seed=st.integers(0, 2**16),
)
def test_any_sample_does(lengths: list[int], num_asks: int, mode: Mode, positions: Positions, seed: int) -> None:
    rng = numpy.random.default_rng(seed)
    agree(world(), [random_sample(rng, lengths, num_asks), random_sample(rng, [3, 4], 1)], mode, positions)


@pytest.mark.parametrize("mode", TRAINED_MODES)
def test_what_a_token_sees_is_what_its_spans_views_hold(mode: Mode) -> None:
    rng = numpy.random.default_rng(3)
    samples = [random_sample(rng, [4, 3, 5], 2), random_sample(rng, [2, 2], 1)]
    batch = batch_of([joined([row_of(sample, mode) for sample in samples], 60)])
    sees = Seen.of(batch).dense()[0].numpy()
    expected = numpy.zeros_like(sees)
    first = 0
    for sample in samples:
        starts = first + numpy.cumsum([0, *map(len, sample.blocks)])
        for index, (begin, stop) in enumerate(zip(starts, starts[1:], strict=False)):
            own = first if mode is Mode.FULL else begin
            expected[begin:stop, own:stop] = numpy.tri(stop - begin, stop - own, begin - own, dtype=bool)
            if mode is Mode.ANCHORED and index:
                expected[begin:stop, first : starts[1]] = True
        begin = starts[-1]
        for ask in sample.asks:
            expected[begin : begin + ask.num_tokens, first : starts[-1]] = True
            prompt = len(ask.observation) - (len(ask.answers) > 1)
            expected[begin : begin + prompt, begin : begin + prompt] = numpy.tri(prompt, dtype=bool)
            last = begin + prompt
            for answer in ask.answers:
                length = len(answer) - (len(ask.answers) == 1)
                expected[last : last + length, begin : begin + prompt] = True
                expected[last : last + length, last : last + length] = numpy.tri(length, dtype=bool)
                last += length
            begin = last
        first = begin
    num = sum(sample.num_tokens for sample in samples)
    assert numpy.array_equal(sees[:num, :num], expected[:num, :num])
    assert not sees[:num, num:].any() and not sees[num:, :num].any()


@settings(max_examples=20, deadline=None)
@given(mode=st.sampled_from(TRAINED_MODES), length=st.integers(300, 900), seed=st.integers(0, 2**16))
@example(mode=Mode.STAR, length=673, seed=139)  # a token that sees no view, whose interval lies inside a tile
def test_tiles_that_are_left_out_hold_nothing_seen_and_whole_ones_everything(
    mode: Mode, length: int, seed: int
) -> None:
    rng = numpy.random.default_rng(seed)
    rows, left = [], length
    while True:
        sample = random_sample(rng, rng.integers(1, 60, size=int(rng.integers(1, 9))).tolist(), 3)
        if sample.num_tokens > left:
            break
        rows.append(row_of(sample, mode))
        left -= sample.num_tokens
    seen = Seen.of(batch_of([joined(rows, length)]))
    some, whole = (tiles[0] for tiles in seen.tiles())
    dense = seen.dense()[0]
    for q in range(len(some)):
        for k in range(len(some)):
            pairs = dense[q * TILE : (q + 1) * TILE, k * TILE : (k + 1) * TILE]
            assert bool(some[q, k]) == bool(pairs.any())
            assert not whole[q, k] or bool(pairs.all())


def test_a_long_samples_earlier_tiles_are_whole_and_flex_attention_reads_them() -> None:
    rng = numpy.random.default_rng(4)
    sample = random_sample(rng, [100] * 6, 2)
    batch = batch_of([joined([row_of(sample, Mode.FULL)], 640), joined([row_of(sample, Mode.STAR)], 640)])
    some, whole = Seen.of(batch).tiles()
    assert whole[0, 3].tolist() == [True, True, True, False, False] and some[0, 3].tolist() == [True] * 4 + [False]
    assert not whole[1, :4].any()
    planner = Planner(RotaryTable(torch.ones(4), CONTEXT), CPU)
    block_mask = planner._block_mask(Seen.of(batch), batch.is_shared)
    q, k, v = (torch.randn((2, 1, 640, 8), generator=torch.Generator().manual_seed(seed)) for seed in range(3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is slow without a compiler
        found = flex_attention(q, k, v, block_mask=block_mask)
    mask = Seen.of(batch).dense()[:, None]
    torch.testing.assert_close(found, torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask))


def test_a_prompt_that_answers_share_is_seen_from_the_first_batch_on_that_has_one() -> None:
    planner = Planner(RotaryTable(torch.ones(4), CONTEXT), CPU)
    q = torch.arange(40)[:, None]
    for answers in (((4, 9),), ((4, 9), (5, 9)), ((6, 9),)):
        sample = TokenSample(((1, 2), (3,)), (TokenAsk((7, 8, 8), answers),))
        batch = batch_of([joined([row_of(sample, Mode.STAR)], 40)])
        found = planner._block_mask(Seen.of(batch), batch.is_shared).mask_mod(torch.tensor(0), torch.tensor(0), q, q.T)
        assert batch.is_shared == (len(answers) > 1) and found.equal(Seen.of(batch).dense()[0])


def test_tiles_are_counted_without_waiting_for_what_they_are() -> None:
    sample = random_sample(numpy.random.default_rng(0), [70, 90, 60, 200], 3)
    batch = batch_of([joined([row_of(sample, mode)], 640) for mode in (Mode.FULL, Mode.STAR)])
    planner = Planner(RotaryTable(torch.ones(4), CONTEXT), CPU)
    with synchronising() as found:
        planner.plan(batch)
        planner._block_mask(Seen.of(batch), batch.is_shared)
        planner._block_mask(Seen.of(batch), batch.is_shared)
        losses_of(torch.zeros(len(batch.wanted), 9), batch.label.flatten()[batch.wanted] % 9, batch.rows, 2, 1.0)
        decisions = Decisions.of(batch, batch.wanted.chunk(2)[0])
        scores = decisions.logprobs(torch.zeros(len(batch.wanted) // 2, 9), torch.zeros_like(decisions.action_of_token))
        decisions.agreement(scores, [scores, scores])
    assert found == []
    with synchronising() as found:
        _ = batch.ids.nonzero(), batch.ids[batch.ids > 0], batch.ids.sum().item(), bool(batch.ids.any())
    assert len(found) == 4, "what would synchronise is found"
