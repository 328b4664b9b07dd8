"""The packed forward against plain transformers, by two ways of moving keys."""

from collections.abc import Iterator

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_runtime.engine import attention
from agent_runtime.engine.attention import MOVE_KEYS, MOVE_QUERIES
from agent_runtime.engine.cpu_products import has_onednn
from agent_runtime.engine.errors import EngineClosed
from agent_runtime.engine.layout import lay_out
from agent_runtime.engine.span import NOTHING, Placed, Span, View
from agent_runtime.engine.step import make_step
from tests.agent_runtime.engine.reference import anchored_logits, causal_logits, star_logits
from tests.agent_runtime.engine.worlds import PRODUCTS, encode, random_ids, view_of, world
from tests.tiny_models import ACCEPTED

TOLERANCE = 1e-4
WAYS = [MOVE_KEYS, MOVE_QUERIES, *([PRODUCTS] if has_onednn() else [])]


@pytest.fixture(autouse=True, scope="module")
def small_products() -> Iterator[None]:
    """Have the few keys of these prompts suffice for products, where products are asked for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention, "_LEAST_SCORES", 1)
        yield


def agree(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    assert theirs.abs().max() > 1, "a reference this flat proves nothing"
    torch.testing.assert_close(ours, theirs, atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("anchored", [False, True])
@pytest.mark.parametrize("kind", ACCEPTED)
def test_blocks_and_observation_in_one_forward_equal_the_reference(kind: str, anchored: bool, way: str) -> None:
    w, rng = world(kind, way=way), numpy.random.default_rng(1)
    blocks = [random_ids(rng, int(n)) for n in rng.integers(1, 30, size=9)]
    observation = random_ids(rng, 13)
    runs, spans = encode(w, blocks, anchored=anchored)
    asked = Span(observation, sum(map(len, blocks)), view_of(runs, anchored=anchored), wanted="all")
    logits = w.runner.run([*spans, asked])
    agree(logits[asked], (anchored_logits if anchored else star_logits)(w.twin, blocks, observation))


@settings(max_examples=12, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 25), min_size=1, max_size=40),
    observation=st.integers(1, 20),
    anchored=st.booleans(),
    way=st.sampled_from(WAYS),
    seed=st.integers(0, 2**16),
)
def test_any_number_of_blocks_equals_the_reference(
    lengths: list[int], observation: int, anchored: bool, way: str, seed: int
) -> None:
    w, rng = world(way=way), numpy.random.default_rng(seed)
    blocks, asked_ids = [random_ids(rng, n) for n in lengths], random_ids(rng, observation)
    runs, spans = encode(w, blocks, anchored=anchored)
    asked = Span(asked_ids, sum(lengths), view_of(runs, anchored=anchored), wanted="all")
    logits = w.runner.run([*spans, asked])
    agree(logits[asked], (anchored_logits if anchored else star_logits)(w.twin, blocks, asked_ids))


@pytest.mark.skipif(not has_onednn(), reason="this build of torch has no oneDNN")
@pytest.mark.parametrize(
    ("rows", "least", "most", "num_calls"), [(40, 1, 2**24, 1), (4, 1, 2**24, 0), (40, 1, 2, 0), (40, 2**16, 2**24, 0)]
)
def test_some_rows_are_attended_by_products_unless_their_scores_are_too_few_or_too_many(
    monkeypatch: pytest.MonkeyPatch, rows: int, least: int, most: int, num_calls: int
) -> None:
    real, calls = attention._attend_by_products, []

    def spied(*given: object) -> torch.Tensor:
        calls.append(given)
        return real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(attention, "_attend_by_products", spied)
    monkeypatch.setattr(attention, "_LEAST_SCORES", least)
    monkeypatch.setattr(attention, "_MOST_SCORES", most)
    w, rng = world(way=PRODUCTS), numpy.random.default_rng(9)
    blocks, observation = [random_ids(rng, 20) for _ in range(3)], random_ids(rng, rows)
    runs, spans = encode(w, blocks)
    asked = Span(observation, 60, view_of(runs), wanted="all")
    agree(w.runner.run([*spans, asked])[asked], star_logits(w.twin, blocks, observation))
    assert len(calls) == num_calls * w.pool.geometry.num_layers


@pytest.mark.parametrize("anchored", [False, True])
def test_blocks_once_encoded_may_be_swapped_reordered_and_replaced_by_longer_ones(anchored: bool) -> None:
    w, rng = world(), numpy.random.default_rng(2)
    blocks = [random_ids(rng, int(n)) for n in rng.integers(2, 20, size=8)]
    longer, observation = random_ids(rng, 31), random_ids(rng, 9)
    runs, spans = encode(w, [*blocks, longer], anchored=anchored)
    w.runner.run(spans)
    for order in ([0, 1, 2, 3, 4, 5, 6, 7], [0, 7, 2, 3, 4, 5, 6, 1], [0, 3, 1, 2, 7, 6], [0, 1, 8, 3, 4, 5, 6, 7]):
        chosen = [[*blocks, longer][i] for i in order]
        view = view_of([runs[i] for i in order], anchored=anchored)
        asked = Span(observation, view.length, view, wanted="all")
        logits = w.runner.run([asked])
        agree(logits[asked], (anchored_logits if anchored else star_logits)(w.twin, chosen, observation))


def test_packed_with_the_work_of_others_equals_one_by_one() -> None:
    w, rng = world(), numpy.random.default_rng(3)
    blocks = [random_ids(rng, 11) for _ in range(6)]
    runs, spans = encode(w, blocks)
    w.runner.run(spans)
    both, other = view_of(runs), view_of(runs[::-1])
    asks = [Span(random_ids(rng, 4 + i), both.length, view, wanted="all") for i in range(5) for view in (both, other)]
    chain = Span(random_ids(rng, 300), 0, NOTHING, wanted="last")
    together = w.runner.run([*asks, chain])
    for span in (*asks, chain):
        torch.testing.assert_close(together[span], w.runner.run([span])[span], atol=1e-4, rtol=1e-4)


def test_a_long_chain_behind_a_prefix_is_ordinary_causal_attention() -> None:
    w, rng = world(), numpy.random.default_rng(4)
    ids = random_ids(rng, 700)
    run = w.pool.acquire(100)
    w.runner.run([Span(ids[:100], 0, NOTHING, keep=run)])
    rest = Span(ids[100:], 100, View((Placed(run, 0),)), wanted="all")
    agree(w.runner.run([rest])[rest], causal_logits(w.twin, ids)[100:])


def test_children_see_their_ancestors_and_not_their_siblings() -> None:
    w, rng = world(), numpy.random.default_rng(5)
    blocks = [random_ids(rng, 12) for _ in range(3)]
    runs, spans = encode(w, blocks)
    view = view_of(runs)
    root = Span([5, 6, 7], view.length, view, wanted="last")
    left = Span([8, 9], view.length + 3, view, parent=root, wanted="all")
    right = Span([10], view.length + 3, view, parent=root, wanted="all")
    leaf = Span([11, 12], view.length + 5, view, parent=left, wanted="all")
    logits = w.runner.run([*spans, root, left, right, leaf])
    agree(
        torch.cat((logits[root], logits[left], logits[leaf])), star_logits(w.twin, blocks, [5, 6, 7, 8, 9, 11, 12])[2:]
    )
    agree(logits[right], star_logits(w.twin, blocks, [5, 6, 7, 10])[3:])


@pytest.mark.parametrize("num_prefix", [0, 30])
@pytest.mark.parametrize("way", WAYS)
def test_answers_behind_a_long_prompt_see_all_of_it(num_prefix: int, way: str) -> None:
    w, rng = world(way=way), numpy.random.default_rng(8)
    ids = random_ids(rng, 300)
    run = w.pool.acquire(num_prefix)
    view = View((Placed(run, 0),)) if num_prefix else NOTHING
    if num_prefix:
        w.runner.run([Span(ids[:num_prefix], 0, NOTHING, keep=run)])
    root = Span(ids[num_prefix:], num_prefix, view, wanted="last")
    middle = Span([5, 6], 300, view, parent=root, wanted="all")
    tails = [[7], *[random_ids(rng, 40) for _ in range(8)], [8, 9]]
    leaves = [Span(tail, 302, view, parent=middle, wanted="all") for tail in tails]
    beside = Span([11, 12], 300, view, parent=root, wanted="all")
    logits = w.runner.run([root, middle, *leaves, beside])
    for tail, leaf in zip(tails, leaves, strict=True):
        agree(torch.cat((logits[root], logits[middle], logits[leaf])), causal_logits(w.twin, [*ids, 5, 6, *tail])[299:])
    agree(logits[beside], causal_logits(w.twin, [*ids, 11, 12])[300:])


def test_the_masks_of_a_long_prompt_grow_with_its_length_and_not_with_its_square() -> None:
    w = world()
    sizes = {}
    for num_rows in (500, 2_000):
        root = Span([5] * num_rows, 0, NOTHING)
        answers = [Span([6, 7], num_rows, NOTHING, parent=root, wanted="all") for _ in range(9)]
        layout, kept = lay_out([root, *answers]), w.runner.gathered
        step = make_step(layout, w.pool, w.runner.rope, torch.device("cpu"), torch.float32, gathered=kept)
        masks = [call.mask_QK for single in step.singles for calls in single.calls for call in calls]
        sizes[num_rows] = sum(mask.untyped_storage().nbytes() for mask in masks if mask is not None)
    assert 0 < sizes[2_000] < 5 * sizes[500]


def test_changing_one_fact_in_one_block_changes_the_logits_as_the_reference_says() -> None:
    w, rng = world(), numpy.random.default_rng(6)
    blocks, observation = [random_ids(rng, 15) for _ in range(5)], random_ids(rng, 6)
    changed = [list(block) for block in blocks]
    changed[2][7] = changed[2][7] % 400 + 50
    seen = []
    for variant in (blocks, changed):
        runs, spans = encode(w, variant)
        asked = Span(observation, 75, view_of(runs), wanted="last")
        seen.append((w.runner.run([*spans, asked])[asked][-1], star_logits(w.twin, variant, observation)[-1]))
    ours, theirs = seen[1][0] - seen[0][0], seen[1][1] - seen[0][1]
    assert theirs.abs().max() > 0.01
    torch.testing.assert_close(ours, theirs, atol=2 * TOLERANCE, rtol=0)


def test_a_fragmented_pool_computes_the_same() -> None:
    w, rng = world(num_slots=120), numpy.random.default_rng(7)
    pieces = [w.pool.acquire(10) for _ in range(12)]
    for piece in pieces[::2]:
        w.pool.release(piece)
    block, observation = random_ids(rng, 35), random_ids(rng, 5)
    runs, spans = encode(w, [block])
    assert len(runs[0].extents) == 4
    asked = Span(observation, 35, view_of(runs), wanted="all")
    agree(w.runner.run([*spans, asked])[asked], causal_logits(w.twin, [*block, *observation])[35:])


def test_the_hook_counts_what_the_model_was_given() -> None:
    w = world()
    w.runner.run([Span([5, 6, 7], 0, NOTHING), Span([8], 0, NOTHING, wanted="last")])
    assert (w.runner.rows, w.runner.forwards) == (4, 1)


def test_a_forward_that_is_stopped_ends_at_its_next_layer() -> None:
    w = world()
    layers = w.runner.model.get_decoder().layers
    reached: list[int] = []
    for index, layer in enumerate(layers):
        layer.self_attn.register_forward_hook(lambda *_, index=index: reached.append(index))
    with pytest.raises(EngineClosed):
        w.runner.run([Span([5, 6, 7], 0, NOTHING)], lambda: bool(reached))
    assert reached == [0] and len(layers) > 1


def test_a_cpu_has_done_what_it_was_given() -> None:
    w = world()
    w.runner.run([Span([5, 6, 7], 0, NOTHING)])
    wait = w.runner.mark()
    wait()
    wait()
