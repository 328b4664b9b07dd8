"""Whole models by the kernels against plain transformers."""

import numpy
import pytest
import torch

from agent_runtime.engine.attention import BY_KERNELS
from agent_runtime.engine.errors import EngineClosed
from agent_runtime.engine.span import NOTHING, Span
from tests.agent_runtime.engine.reference import anchored_logits, star_logits
from tests.agent_runtime.engine.worlds import encode, random_ids, view_of, world


@pytest.mark.parametrize(("kind", "anchored"), [("llama", False), ("llama", True), ("yarn", False), ("qwen3", False)])
def test_blocks_and_observation_in_one_forward_equal_the_reference(kind: str, anchored: bool) -> None:
    w, rng = world(kind, way=BY_KERNELS), numpy.random.default_rng(1)
    blocks = [random_ids(rng, int(n)) for n in rng.integers(1, 20, size=5)]
    observation = random_ids(rng, 9)
    runs, spans = encode(w, blocks, anchored=anchored)
    asked = Span(observation, sum(map(len, blocks)), view_of(runs, anchored=anchored), wanted="all")
    logits = w.runner.run([*spans, asked])[asked]
    reference = (anchored_logits if anchored else star_logits)(w.twin, blocks, observation)
    torch.testing.assert_close(logits, reference, atol=1e-4, rtol=1e-4)


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
