"""The kernels on a GPU: graphs give what the kernels give that they hold, and models agree with plain transformers."""

import logging

import numpy
import pytest
import torch

from agent_runtime.engine.attention import BY_KERNELS, MOVE_KEYS
from agent_runtime.engine.choice import chosen_runner
from agent_runtime.engine.forward import ForwardRunner
from agent_runtime.engine.gpu import sharing
from agent_runtime.engine.gpu.forward import KernelForward
from agent_runtime.engine.gpu.likeliest import likeliest
from agent_runtime.engine.layout import lay_out
from agent_runtime.engine.likeness import UNLIKE
from agent_runtime.engine.span import NOTHING, Span
from tests.agent_runtime.engine.gpu.halves import errors_of
from tests.agent_runtime.engine.gpu.replays import Sizes, assert_alike
from tests.agent_runtime.engine.reference import anchored_logits, star_logits
from tests.agent_runtime.engine.worlds import encode, random_ids, view_of
from tests.gpu.worlds import cuda_world
from tests.tiny_models import ACCEPTED

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("anchored", [False, True])
@pytest.mark.parametrize("kind", [*ACCEPTED, "heads of 64", "heads of 96", "heads of 128"])
def test_blocks_and_observation_equal_the_reference(kind: str, anchored: bool) -> None:
    w, rng = cuda_world(kind, way=BY_KERNELS), numpy.random.default_rng(1)
    for _ in range(2):  # the second time from the graph that the first one captured
        blocks = [random_ids(rng, int(n)) for n in rng.integers(1, 60, size=12)]
        observation = random_ids(rng, 50)
        runs, spans = encode(w, blocks, anchored=anchored)
        asked = Span(observation, sum(map(len, blocks)), view_of(runs, anchored=anchored), wanted="all")
        logits = w.runner.run([*spans, asked])[asked].cpu()
        reference = (anchored_logits if anchored else star_logits)(w.twin, blocks, observation)
        torch.testing.assert_close(logits, reference, atol=5e-4, rtol=5e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_graphs_give_bit_for_bit_what_their_kernels_give(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "_LEAST_SAVED", 4)  # a tiny world is worth sharing, too
    w = cuda_world("heads of 64", dtype)

    def make(is_graphed: bool) -> KernelForward:
        return KernelForward(w.runner.model, w.pool, w.runner.rope, is_graphed=is_graphed)

    assert assert_alike(w, make, Sizes(blocks=20, tokens=60, rows=50, sessions=40, times=3)) == 6


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", ["llama", "heads of 64", "heads of 96", "heads of 128"])
def test_a_model_in_half_precision_is_as_near_to_float32_on_a_cpu_as_by_plain_torch(
    kind: str, dtype: torch.dtype
) -> None:
    by_torch, ours = errors_of(cuda_world(kind, dtype), (MOVE_KEYS, BY_KERNELS), rows=50)
    assert ours < 1.25 * by_torch < UNLIKE


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["llama", "ungrouped"])
def test_kernels_are_chosen_where_there_is_a_gpu(
    kind: str, dtype: torch.dtype, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "agent_runtime.engine.choice")
    w = cuda_world(kind, dtype)
    chosen = chosen_runner(w.runner.model, w.pool, w.runner.rope)
    assert chosen.model.config._attn_implementation == BY_KERNELS, caplog.text
    assert [record.levelno for record in caplog.records] == [logging.INFO]


@pytest.mark.parametrize("rows", [1, 40])
def test_sessions_over_one_world_agree_with_plain_torch_up_to_the_largest_bucket(rows: int) -> None:
    w, rng = cuda_world("llama"), numpy.random.default_rng(3)
    runs, spans = encode(w, [random_ids(rng, int(n)) for n in rng.integers(80, 200, size=8)])
    w.runner.run(spans)
    views = [view_of([runs[int(number)] for number in rng.permutation(8)]) for _ in range(20)]
    asked = [Span(random_ids(rng, rows), view.length, view, wanted="last") for view in views]
    torchs = w.runner.run(asked)
    kernels = ForwardRunner(w.runner.model, w.pool, w.runner.rope, way=BY_KERNELS)
    ours = kernels.run(asked)  # 800 rows of 1,024
    for span in asked:
        torch.testing.assert_close(ours[span], torchs[span], atol=5e-4, rtol=5e-4)


def test_the_likeliest_tokens_of_a_forward_are_those_of_its_logits_when_the_next_has_come() -> None:
    w, rng = cuda_world("llama", torch.bfloat16, way=BY_KERNELS), numpy.random.default_rng(5)
    found = []
    for _ in range(3):
        spans = [Span(random_ids(rng, 9), 0, NOTHING, wanted="last") for _ in range(20)]
        found.append((spans, w.runner.run(spans)))
    for spans, logits in found:
        assert [logits.best(span) for span in spans] == [int(logits[span][-1].cpu().argmax()) for span in spans]


@pytest.mark.parametrize(("rows", "vocab"), [(1, 128_256), (64, 128_256), (512, 32_000), (3, 49_152)])
def test_the_likeliest_token_is_the_lowest_of_equals_and_always_one(rows: int, vocab: int) -> None:
    logits = torch.randn(rows, vocab, generator=torch.Generator().manual_seed(rows)).bfloat16().float().cuda()
    largest = logits.max(-1, keepdim=True).values
    lowest = torch.where(logits == largest, torch.arange(vocab, device="cuda"), vocab).min(-1).values
    assert torch.equal(likeliest(logits).long(), lowest)
    logits[:, ::2] = float("nan")
    assert all(0 <= token < vocab for token in likeliest(logits).tolist())


@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype feature")
@pytest.mark.parametrize("is_graphed", [True, False])
def test_a_forward_never_makes_the_host_wait(is_graphed: bool) -> None:
    w, rng = cuda_world("llama", torch.bfloat16), numpy.random.default_rng(4)
    runs, spans = encode(w, [random_ids(rng, 90) for _ in range(6)])
    w.runner.run(spans)
    forward = KernelForward(w.runner.model, w.pool, w.runner.rope, is_graphed=is_graphed)
    view = view_of(runs)
    try:
        for number in range(5):
            asked = Span(random_ids(rng, 30), view.length, view, wanted="last")
            torch.cuda.set_sync_debug_mode("error" if number > 1 else "default")
            forward.run(lay_out([asked]), numpy.array([29]))
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_forward_that_is_run_again_to_be_timed_leaves_what_it_found() -> None:
    w, rng = cuda_world("heads of 64", torch.bfloat16, way=BY_KERNELS), numpy.random.default_rng(2)
    runs, spans = encode(w, [random_ids(rng, 40) for _ in range(3)])
    w.runner.run(spans)
    before = [w.pool.read(run) for run in runs]
    assert (w.runner.device_seconds(3) or 0) > 0
    for run, kept in zip(runs, before, strict=True):
        assert all(torch.equal(w.pool.read(run)[part], kept[part]) for part in ("k", "v"))
