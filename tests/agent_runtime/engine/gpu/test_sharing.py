"""What several sessions see is read once for all of them, wherever each has it."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_runtime.engine.gpu.sharing import shared_among
from agent_runtime.engine.gpu.work_list import SECTIONS, Shape, plan_work
from agent_runtime.engine.layout import Layout, groups_of, lay_out
from agent_runtime.engine.pool import Run
from agent_runtime.engine.span import Placed, Span, View
from tests.agent_runtime.engine.gpu.layers import Layer, error_of
from tests.agent_runtime.engine.worlds import view_of

LARGEST = {torch.float32: 2e-6, torch.float16: 1e-3}


def sessions(layer: Layer, runs: list[Run], count: int, seed: int, rows: int = 1) -> list[Span]:
    """Some sessions that see most of `runs`, each in an order of its own, behind a sheet of its own."""
    rng, spans = random.Random(seed), []
    for _ in range(count):
        seen = rng.sample(runs, rng.randint(max(1, len(runs) - 2), len(runs)))
        view = view_of([layer.pool.acquire(rng.randint(1, 40)), *seen])
        spans.append(Span([0] * rows, view.length, view))
        spans.append(Span([0] * 2, view.length + rows, view, parent=spans[-1]))
    return spans


@pytest.mark.parametrize("dtype", LARGEST)
@pytest.mark.parametrize(("num_heads", "num_groups", "head_dim"), [(4, 2, 64), (6, 2, 96), (8, 1, 32)])
def test_sessions_over_one_world(num_heads: int, num_groups: int, head_dim: int, dtype: torch.dtype) -> None:
    layer = Layer.of(num_heads, num_groups, head_dim, dtype)
    layout = lay_out(sessions(layer, layer.blocks([90, 7, 120, 64, 33]), 5, seed=1))
    rows = layer.rows(layout)
    assert shared_among(groups_of(layout)) is not None
    assert error_of(layer.attend(layout, rows), layer.exact(layout, rows)) < LARGEST[dtype]


@settings(max_examples=8, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 150), min_size=3, max_size=9),
    count=st.integers(2, 12),
    rows=st.integers(1, 9),
    num_programs=st.sampled_from([1, 8, 64]),
    seed=st.integers(0, 2**16),
)
def test_any_sessions(lengths: list[int], count: int, rows: int, num_programs: int, seed: int) -> None:
    layer = Layer.of(seed=seed)
    layout = lay_out(sessions(layer, layer.blocks(lengths), count, seed, rows))
    given_rows = layer.rows(layout)
    found = layer.attend(layout, given_rows, num_programs)
    assert error_of(found, layer.exact(layout, given_rows)) < LARGEST[torch.float32]


def test_a_block_that_stands_twice_in_one_prompt_and_queries_that_stand_before_what_they_see() -> None:
    layer = Layer.of()
    [run] = layer.blocks([200])
    spans = [
        Span([0] * 3, start, View(tuple(Placed(run, shift) for shift in shifts)))
        for start, shifts in ((400, (0, 200)), (900, (200, 7)), (20, (500,)))
    ]
    layout = lay_out(spans)
    rows = layer.rows(layout)
    assert error_of(layer.attend(layout, rows), layer.exact(layout, rows)) < LARGEST[torch.float32]


def planned(layout: Layout) -> dict[str, int]:
    arrays = plan_work(layout, Shape(2, 2, 8, 2048))
    sizes = dict(zip(SECTIONS, (section.size for section in arrays.sections), strict=True))
    return {**sizes, "shared": arrays.counts[2]}


def test_what_is_shared_is_listed_once_and_what_is_too_little_is_not_shared() -> None:
    layer = Layer.of()
    world = layer.blocks([300, 200])
    spans = [Span([0], 600, view_of([layer.pool.acquire(10), *world])) for _ in range(6)]
    assert planned(lay_out(spans))["key_slots_K"] == 6 * 10 + 500
    [small] = layer.blocks([100])
    few = [Span([0], 100, view_of([small])) for _ in range(3)]
    assert planned(lay_out(few)) | {"key_slots_K": 300, "shared": 0} == planned(lay_out(few))
    assert planned(lay_out(spans[:1]))["shared"] == 0
