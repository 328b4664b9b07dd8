"""The kernels on a GPU: graphs give what the kernels give that they hold, and models agree with plain transformers."""

import logging

import numpy
import pytest
import torch

from agent_runtime.engine.attention import BY_KERNELS
from agent_runtime.engine.choice import chosen_runner
from agent_runtime.engine.forward import ForwardRunner
from agent_runtime.engine.gpu.forward import KernelForward
from agent_runtime.engine.layout import lay_out
from agent_runtime.engine.span import Span
from tests.agent_runtime.engine.reference import anchored_logits, star_logits
from tests.agent_runtime.engine.worlds import encode, random_ids, view_of
from tests.gpu.worlds import cuda_world
from tests.tiny_models import ACCEPTED

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("anchored", [False, True])
@pytest.mark.parametrize("kind", ACCEPTED)
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


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_graphs_give_bit_for_bit_what_their_kernels_give(dtype: torch.dtype) -> None:
    w, rng = cuda_world("llama", dtype), numpy.random.default_rng(2)
    runs, spans = encode(w, [random_ids(rng, int(n)) for n in rng.integers(1, 60, size=20)])
    w.runner.run(spans)
    graphed, eager = (KernelForward(w.runner.model, w.pool, w.runner.rope, is_graphed=each) for each in (True, False))
    view = view_of(runs)
    for length in (1, 1, 7, 50, 50, 33):
        asked = Span(random_ids(rng, length), view.length, view, wanted="all")
        layout, rows = lay_out([asked]), numpy.arange(length)
        one, other = graphed.run(layout, rows), eager.run(layout, rows)
        assert torch.equal(one, other) and one.isfinite().all()


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
