"""Blocks of a length that are encoded together, in one call a layer as on a GPU, are what each is alone."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_runtime.engine import forward, step
from agent_runtime.engine.span import NOTHING, Span
from agent_runtime.engine.step import Step, make_step, stacks_of
from tests.agent_runtime.engine.worlds import World, encode, random_ids, view_of, world

LENGTHS = st.lists(st.sampled_from([1, 2, 5, 5, 9]), min_size=1, max_size=9)


def as_on_a_gpu(layout: Any, pool: Any, rope: Any, device: Any, dtype: Any, **options: Any) -> Step:
    made = make_step(layout, pool, rope, device, dtype, **options)
    stacks, left = stacks_of(made.groups, device)
    singles = tuple(step._single(group, layout, rope, device, dtype) for group in left)
    return replace(made, batches=(), stacks=stacks, singles=singles)


@pytest.fixture
def stacked() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forward, "make_step", as_on_a_gpu)
        yield patch


def session(w: World, blocks: list[list[int]], anchored: bool, rng: numpy.random.Generator) -> list[Span]:
    """Blocks, and an observation with two answers behind them, all to be computed in one forward."""
    runs, spans = encode(w, blocks, anchored=anchored)
    for span in spans:
        span.wanted = "all"
    view = view_of(runs, anchored=anchored)
    asked = Span(random_ids(rng, 4), view.length, view, wanted="all")
    answers = [Span(random_ids(rng, n), view.length + 4, view, parent=asked, wanted="all") for n in (1, 3)]
    return [*spans, asked, *answers]


@given(st.lists(LENGTHS, min_size=1, max_size=3), st.booleans(), st.sampled_from(["llama", "qwen3"]), st.integers(0, 9))
@settings(max_examples=30, deadline=None)
def test_together_equals_each_alone(sessions: list[list[int]], anchored: bool, kind: str, seed: int) -> None:
    texts = [[random_ids(numpy.random.default_rng(seed + n), n) for n in lengths] for lengths in sessions]

    def computed(w: World) -> list[torch.Tensor]:
        rng = numpy.random.default_rng(seed)
        spans = [span for blocks in texts for span in session(w, blocks, anchored, rng)]
        # Turns of `full` see nothing but themselves, too: some are alike, and some have answers behind them.
        whole = [Span(random_ids(rng, 7), 0, NOTHING, wanted="all") for _ in range(3)]
        spans += [*whole, Span(random_ids(rng, 2), 7, NOTHING, parent=whole[0], wanted="all")]
        spans += [Span(random_ids(rng, n), 7, NOTHING, parent=whole[1], wanted="all") for n in (1, 2)]
        logits = w.runner.run(spans)
        return [logits[span] for span in spans]

    alone = computed(world(kind))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forward, "make_step", as_on_a_gpu)
        together = computed(world(kind))
    for one, other in zip(alone, together, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_blocks_take_a_call_a_length_and_layer(stacked: pytest.MonkeyPatch) -> None:
    w, rng = world(), numpy.random.default_rng(0)
    _, spans = encode(w, [random_ids(rng, length) for length in (3, 3, 5, 3, 5, 8)])
    calls, real = [], F.scaled_dot_product_attention
    stacked.setattr(F, "scaled_dot_product_attention", lambda *given, **more: calls.append(1) or real(*given, **more))
    w.runner.run(spans)
    assert len(calls) == 3 * w.pool.geometry.num_layers
