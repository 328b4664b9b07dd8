"""Whole models by the kernels against plain transformers, on a CPU; `tests/gpu` has those of a GPU."""

import gc
import weakref
from dataclasses import replace

import numpy
import pytest
import torch

from agent_runtime.engine.admission import probe
from agent_runtime.engine.attention import BY_KERNELS, MOVE_KEYS
from agent_runtime.engine.errors import EngineClosed, UnsupportedModel
from agent_runtime.engine.forward import ForwardRunner
from agent_runtime.engine.gpu import forward, merged, sharing
from agent_runtime.engine.gpu.forward import KernelForward
from agent_runtime.engine.likeness import UNLIKE
from agent_runtime.engine.pool import Pool
from agent_runtime.engine.rope import RotaryTable
from agent_runtime.engine.span import NOTHING, Span
from tests.agent_runtime.engine.gpu.halves import errors_of
from tests.agent_runtime.engine.gpu.replays import Sizes, assert_alike
from tests.agent_runtime.engine.reference import anchored_logits, star_logits
from tests.agent_runtime.engine.worlds import World, encode, random_ids, view_of, world
from tests.tiny_models import CONTEXT, tiny_model

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="kernels are compiled here, for a GPU")


@pytest.mark.parametrize(
    ("kind", "anchored", "is_merged"),
    [
        ("llama", True, True),
        ("yarn", False, True),
        ("qwen2", False, True),
        ("qwen3", False, True),
        ("yarn", True, False),
    ],
)
def test_blocks_and_observation_in_one_forward_equal_the_reference(
    kind: str, anchored: bool, is_merged: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if not is_merged:
        monkeypatch.setattr(merged, "_KNOWN", ())
    w, rng = world(kind, way=BY_KERNELS), numpy.random.default_rng(1)
    assert ("computes its layers itself" in caplog.text) is not is_merged
    blocks = [random_ids(rng, int(n)) for n in rng.integers(1, 20, size=5)]
    observation = random_ids(rng, 9)
    runs, spans = encode(w, blocks, anchored=anchored)
    asked = Span(observation, sum(map(len, blocks)), view_of(runs, anchored=anchored), wanted="all")
    logits = w.runner.run([*spans, asked])[asked]
    reference = (anchored_logits if anchored else star_logits)(w.twin, blocks, observation)
    torch.testing.assert_close(logits, reference, atol=1e-4, rtol=1e-4)


def test_a_model_in_half_precision_is_as_near_to_float32_as_by_plain_torch() -> None:
    w = world("heads of 96")
    geometry = replace(w.pool.geometry, dtype=torch.float16)
    model = w.runner.model.to(torch.float16)
    half = World(ForwardRunner(model, Pool(geometry, 512), w.runner.rope), w.twin)
    by_torch, ours = errors_of(half, (MOVE_KEYS, BY_KERNELS), rows=5)
    assert ours < 1.25 * by_torch < UNLIKE


def test_the_same_kernels_on_the_same_buffers_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "_LEAST_SAVED", 4)
    w = world()

    def make(is_graphed: bool) -> KernelForward:  # here there are no graphs
        return KernelForward(w.runner.model, w.pool, w.runner.rope, is_graphed=False)

    assert assert_alike(w, make, Sizes(blocks=3, tokens=8, rows=2, sessions=3, times=1)) == 6


def test_blocks_are_stored_as_the_other_way_stores_them() -> None:
    ids = random_ids(numpy.random.default_rng(2), 21)
    stored = []
    for w in (world(way=BY_KERNELS), world()):
        run = w.pool.acquire(len(ids))
        w.runner.run([Span(ids, 0, NOTHING, keep=run)])
        stored.append(w.pool.read(run))
    for name in ("k", "v"):
        torch.testing.assert_close(stored[0][name], stored[1][name], atol=1e-5, rtol=1e-5)


def test_a_forward_ends_at_the_layer_that_finds_it_stopped() -> None:
    w = world(way=BY_KERNELS)
    with pytest.raises(EngineClosed):
        w.runner.run([Span([5, 6], 0, NOTHING, wanted="last")], lambda: True)


def test_merged_weights_are_the_models_own_and_it_computes_what_it_did() -> None:
    w = world("qwen2", way=BY_KERNELS)
    ids = torch.tensor([random_ids(numpy.random.default_rng(3), 12)])
    w.runner.model.set_attn_implementation("sdpa")
    torch.testing.assert_close(w.runner.model(ids).logits, w.twin(ids).logits)
    attention = w.runner.model.get_decoder().layers[0].self_attn
    one, other = attention.q_proj.weight, attention.v_proj.weight
    assert one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()


@pytest.mark.parametrize(("limit", "value"), [("_WORDS", 400), ("_PARTS_EACH", 0), ("_ROW_BUCKETS", (1, 8))])
def test_a_forward_that_no_bucket_holds_is_computed_all_the_same(
    limit: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits = []
    for is_limited in (False, True):
        if is_limited:
            monkeypatch.setattr(forward, limit, value)
        w, rng = world(way=BY_KERNELS), numpy.random.default_rng(4)
        runs, spans = encode(w, [random_ids(rng, 30), random_ids(rng, 7)])
        asked = Span(random_ids(rng, 9), 37, view_of(runs), wanted="all")
        logits.append(w.runner.run([*spans, asked])[asked])
        assert (w.runner.rows, w.runner.forwards) == (46, 1)
    torch.testing.assert_close(logits[0], logits[1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("max_rows", "largest"), [(1, 2), (300, 768), (512, 1024), (20_000, 2048)])
def test_buckets_reach_to_twice_the_rows_at_which_turns_join_no_more(max_rows: int, largest: int) -> None:
    w = world()
    made = forward.KernelForward(w.runner.model, w.pool, w.runner.rope, max_rows=max_rows)
    assert made.largest_bucket == largest


def test_a_forward_leaves_nothing_behind_for_the_next() -> None:
    w, rng = world(way=BY_KERNELS), numpy.random.default_rng(5)
    runs, spans = encode(w, [random_ids(rng, 40), random_ids(rng, 33)])
    w.runner.run(spans)
    short = random_ids(rng, 3)
    first = [w.runner.run([(asked := Span(short, 73, view_of(runs), wanted="last"))])[asked] for _ in range(2)]
    long = Span(random_ids(rng, 50), 73, view_of(runs), wanted="all")
    w.runner.run([long])
    again = Span(short, 73, view_of(runs), wanted="last")
    assert torch.equal(first[0], first[1]) and torch.equal(first[0], w.runner.run([again])[again])


def test_logits_stay_what_they_were_when_the_next_forward_comes() -> None:
    w, rng = world(way=BY_KERNELS), numpy.random.default_rng(6)
    one, other = (Span(random_ids(rng, 4), 0, NOTHING, wanted="all") for _ in range(2))
    first = w.runner.run([one])
    before = first[one].clone()
    second = w.runner.run([other])
    assert torch.equal(first[one], before) and not torch.equal(second[other], before)
    assert first.best(one) == int(before[-1].argmax()) and first[one].dtype is torch.float32


def test_what_the_kernels_cannot_serve_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    w = world(way=BY_KERNELS)
    with pytest.raises(IndexError, match=f"of {CONTEXT}"):
        w.runner.run([Span([5, 6], CONTEXT - 1, NOTHING, wanted="last")])
    monkeypatch.setattr(w.runner.rope, "rotary_dim", 8)
    with pytest.raises(UnsupportedModel, match="8 of a head's 16 dimensions are rotary"):
        ForwardRunner(w.runner.model, w.pool, w.runner.rope, way=BY_KERNELS)


@pytest.mark.parametrize("change", ["a bias", "another kind", "a bias of the output"])
def test_models_whose_products_are_not_plain_are_not_merged(change: str) -> None:
    model = tiny_model("llama", 0)
    attention = model.get_decoder().layers[1].self_attn
    if change == "a bias":
        attention.k_proj.bias = torch.nn.Parameter(torch.zeros(len(attention.k_proj.weight)))
    elif change == "another kind":
        attention.q_proj.__class__ = type("Other", (torch.nn.Linear,), {})
    else:
        attention.o_proj.bias = torch.nn.Parameter(torch.zeros(len(attention.o_proj.weight)))
    assert merged.why_not(model) is not None and merged.why_not(tiny_model("llama", 0)) is None


def test_a_probe_that_fails_says_so_though_no_layer_was_called() -> None:
    w = world(way=BY_KERNELS)
    wrong = RotaryTable(3 * w.runner.model.model.rotary_emb.inv_freq, CONTEXT)
    with pytest.raises(UnsupportedModel, match="logits are .* off when a block is moved"):
        probe(ForwardRunner(w.runner.model, w.pool, wrong, way=BY_KERNELS), w.runner.model)


@pytest.mark.parametrize("way", [MOVE_KEYS, BY_KERNELS])
def test_a_runner_that_was_closed_leaves_its_pool_to_nobody(way: str) -> None:
    w = world(way=way)
    pool = weakref.ref(w.pool)
    w.runner.run([Span([5, 6], 0, NOTHING, wanted="last")])
    w.runner.close()
    gc.disable()
    try:
        del w
        assert pool() is None
    finally:
        gc.enable()
