"""The kernels on a GPU: graphs give what the kernels give that they hold, and models agree with plain transformers."""

import numpy
import pytest
import torch

from agent_runtime.engine.attention import BY_KERNELS
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
