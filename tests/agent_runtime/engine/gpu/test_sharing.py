"""What several sessions see is read once for all of them, wherever each has it."""

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_runtime.engine.gpu import sharing
from agent_runtime.engine.gpu.forms import form_of, views_of
from agent_runtime.engine.gpu.key_tiles import KEY_TILE_FIELDS
from agent_runtime.engine.gpu.planning import plan_work
from agent_runtime.engine.gpu.sharing import may_share, shared_among
from agent_runtime.engine.gpu.tiling import tiling_of
from agent_runtime.engine.gpu.work_list import Shape
from agent_runtime.engine.layout import Layout, lay_out
from agent_runtime.engine.runs import Run
from agent_runtime.engine.span import NOTHING, Placed, Span, View
from tests.agent_runtime.engine.gpu.layers import Layer, error_of
from tests.agent_runtime.engine.worlds import view_of

LARGEST = {torch.float32: 2e-6, torch.float16: 1e-3}


@pytest.fixture(autouse=True, scope="module")
def small_worlds() -> Iterator[None]:
    """Let little be worth sharing: the interpreter takes long over much."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sharing, "_LEAST_SAVED", 4)
        yield


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
    assert shared_among(views_of(layout), form_of(layout, layer.shape()), layer.shape()) is not None
    assert error_of(layer.attend(layout, rows), layer.exact(layout, rows)) < LARGEST[dtype]


@settings(max_examples=8, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 150), min_size=3, max_size=9),
    count=st.integers(2, 12),
    rows=st.integers(1, 9),
    num_multiprocessors=st.sampled_from([1, 8, 64]),
    seed=st.integers(0, 2**16),
)
def test_any_sessions(lengths: list[int], count: int, rows: int, num_multiprocessors: int, seed: int) -> None:
    layer = Layer.of(seed=seed)
    layout = lay_out(sessions(layer, layer.blocks(lengths), count, seed, rows))
    given_rows = layer.rows(layout)
    found = layer.attend(layout, given_rows, num_multiprocessors)
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


def test_a_long_run_is_read_where_it_lies_by_one_session_too() -> None:
    layer = Layer.of()
    short, long, cut = layer.blocks([33, 400, 200])
    fragmented = Run((*cut.part(150, 200).extents, *cut.part(0, 150).extents), 200)
    view = view_of([short, long, fragmented])
    asked = Span([0] * 70, view.length, view)
    layout = lay_out([asked, Span([0] * 3, view.length + 70, view, parent=asked)])
    found = shared_among(views_of(layout), form_of(layout, layer.shape()), layer.shape())
    assert found is not None and [run.length for run in found.runs] == [400, 200]
    rows = layer.rows(layout)
    for num_multiprocessors in (1, 8, 100):
        assert error_of(layer.attend(layout, rows, num_multiprocessors), layer.exact(layout, rows)) < 2e-6


@settings(deadline=None)
@given(
    pieces=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3000)), min_size=1, max_size=9),
    lengths=st.lists(st.integers(0, 600), min_size=6, max_size=6),
    rows=st.integers(1, 90),
    is_encoding=st.booleans(),
    is_specialised=st.booleans(),
)
def test_what_one_session_shares_is_what_would_be_found_among_many(
    pieces: list[tuple[int, int]], lengths: list[int], rows: int, is_encoding: bool, is_specialised: bool
) -> None:
    shape = Layer.of().shape()
    if is_specialised:
        shape = replace(shape, tiling=tiling_of(torch.bfloat16, 128, specialised=True))
    runs = [Run(((number * 600, length),), length) for number, length in enumerate(lengths)]
    view = View(tuple(Placed(runs[number], shift) for number, shift in pieces))
    fresh = [Span([0] * 9, 0, NOTHING)] if is_encoding else []
    layout = lay_out([*fresh, Span([0] * rows, view.length, view)])
    views, form = views_of(layout), form_of(layout, shape)
    one, many = shared_among(views, form, shape), sharing._among_many(views, form.costs_G, form.rows_G, shape)
    assert (one is None) == (many is None)
    assert one is None or may_share(views, form)
    if one is not None and many is not None:
        assert (one.members, one.private) == (many.members, many.private)
        assert one.shifts_US.tolist() == many.shifts_US.tolist()
        assert list(map(id, one.runs)) == list(map(id, many.runs))


def planned(layer: Layer, layout: Layout) -> tuple[int, int]:
    arrays = plan_work(layout, layer.shape())
    num_keys = int(arrays.parts["key_tiles"].reshape(-1, KEY_TILE_FIELDS)[:, 2::3].sum())
    return num_keys, int(arrays.parts["runs"][1::3].sum())


def test_what_is_shared_is_listed_once_and_what_is_too_little_is_not_shared() -> None:
    layer = Layer.of()
    world = layer.blocks([300, 200])
    spans = [Span([0], 600, view_of([layer.pool.acquire(10), *world])) for _ in range(6)]
    assert planned(layer, lay_out(spans)) == (6 * 10, 500)
    [small] = layer.blocks([20])
    few = [Span([0], 20, view_of([small])) for _ in range(3)]
    assert planned(layer, lay_out(few)) == (60, 0)
    assert planned(layer, lay_out(spans[:1])) == (510, 0)


@pytest.mark.parametrize(("specialised", "rows", "expected"), [(True, 50, False), (False, 50, True), (False, 4, False)])
def test_one_session_alone_is_looked_at_where_its_rows_are_in_more_tiles_than_their_queries_would_be(
    specialised: bool, rows: int, expected: bool
) -> None:
    shape = Shape(4, 8, 8192, tiling_of(torch.bfloat16, 128, specialised=specialised), 132)
    view = view_of([Run(((0, 1024),), 1024)])
    asked = Span([0] * rows, view.length, view)
    for spans, is_looked_at in (
        ([asked], expected),
        ([Span([0] * 9, 0, NOTHING), asked], expected),
        ([asked, Span([0], view.length, view_of([Run(((0, 1024),), 1024)]))], True),
        ([Span([0] * 9, 0, NOTHING)], False),
    ):
        layout = lay_out(spans)
        assert may_share(views_of(layout), form_of(layout, shape)) is is_looked_at
