"""Whole models in half precision by the kernels and by plain torch, held against plain transformers in float32."""

import numpy
import torch

from agent_runtime.engine.forward import ForwardRunner
from agent_runtime.engine.span import Span
from tests.agent_runtime.engine.reference import star_logits
from tests.agent_runtime.engine.worlds import World, encode, random_ids, view_of


def errors_of(w: World, ways: tuple[str, ...], rows: int) -> list[float]:
    """Return what each way is off by from the twin, relative to its logits' norm; blocks are encoded anew by each.

    By plain torch in float16 that is 0.8 to 1.6 % for random weights, in bfloat16 4 to 12 %: a limit is relative to it.
    """
    rng = numpy.random.default_rng(7)
    blocks = [random_ids(rng, int(n)) for n in rng.integers(1, 30, size=6)]
    observation = random_ids(rng, rows)
    exact = star_logits(w.twin, blocks, observation).double()
    errors = []
    for way in ways:
        runner = ForwardRunner(w.runner.model, w.pool, w.runner.rope, way=way)
        runs, spans = encode(w, blocks)
        asked = Span(observation, sum(map(len, blocks)), view_of(runs), wanted="all")
        logits = runner.run([*spans, asked])[asked].cpu().double()
        errors.append(float(torch.linalg.vector_norm(logits - exact) / torch.linalg.vector_norm(exact)))
        for run in runs:
            w.pool.release(run)
    return errors
