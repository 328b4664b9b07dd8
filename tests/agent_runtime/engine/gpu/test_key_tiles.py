"""Tiles of keys are all keys of a view in its order, of two extents each, and as few as can be."""

from collections.abc import Sequence
from itertools import accumulate

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runtime.engine.gpu.key_tiles import KEY_TILE_FIELDS, _few_tiles, key_tiles, tiles_of
from agent_runtime.engine.runs import Run
from agent_runtime.engine.span import Placed, View, extents_of

# A key: its slot, and by how many positions it is moved.
Key = tuple[int, int]


def keys_by_tile(extents: Sequence[tuple[int, int, int]], most_keys: int) -> list[list[Key]]:
    """Return the keys of every tile."""
    table = numpy.array(extents, dtype=numpy.int64).reshape(-1, 3)
    found, counts = key_tiles(table, numpy.array([len(table)]), most_keys)
    assert counts == [len(found)]
    assert found.shape[1] == KEY_TILE_FIELDS and found.dtype == numpy.int32
    return [_keys_of(tile) for tile in found.tolist()]


def _keys_of(tile: Sequence[int]) -> list[Key]:
    first, shift, number, second, second_shift, second_number = tile
    one = [(first + place, shift) for place in range(number)]
    return one + [(second + place, second_shift) for place in range(second_number)]


def token_by_token(extents: Sequence[tuple[int, int, int]], most_keys: int) -> list[list[Key]]:
    """Return the same found out token by token."""
    tiles: list[list[Key]] = []
    touched: set[int] = set()
    for number, (first, length, shift) in enumerate(extents):
        for place in range(length):
            if not tiles or len(tiles[-1]) == most_keys or len(touched | {number}) > 2:
                tiles.append([])
                touched = set()
            tiles[-1].append((first + place, shift))
            touched.add(number)
    return tiles


@given(
    extents=st.lists(
        st.tuples(st.integers(0, 10_000), st.one_of(st.integers(0, 5), st.integers(0, 200)), st.integers(0, 5000)),
        max_size=25,
    ),
    most_keys=st.sampled_from([2, 3, 8, 16, 32, 64, 128]),
)
def test_tiles_are_those_found_token_by_token(extents: list[tuple[int, int, int]], most_keys: int) -> None:
    assert keys_by_tile(extents, most_keys) == token_by_token(extents, most_keys)


@given(
    views=st.lists(
        st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 40), st.integers(0, 5000)), max_size=6), max_size=8
    ),
    most_keys=st.sampled_from([2, 8, 32]),
)
def test_tiles_of_many_views_are_those_of_each(views: list[list[tuple[int, int, int]]], most_keys: int) -> None:
    together = numpy.array([extent for view in views for extent in view], dtype=numpy.int64).reshape(-1, 3)
    found, counts = key_tiles(together, numpy.array(list(map(len, views)), dtype=numpy.int64), most_keys)
    tiles = [_keys_of(tile) for tile in found.tolist()]
    for view, end, count in zip(views, accumulate(counts), counts, strict=True):
        assert tiles[end - count : end] == token_by_token(view, most_keys)
    assert len(tiles) == sum(counts)


@given(
    root=st.lists(st.integers(0, 80), max_size=6),
    tails=st.lists(st.lists(st.integers(1, 40), max_size=3), min_size=1, max_size=5),
)
def test_what_a_view_has_grown_by_begins_a_tile_and_the_rest_is_found_out_once(
    root: list[int], tails: list[list[int]]
) -> None:
    def placed(lengths: list[int], first: int) -> list[Placed]:
        return [Placed(Run(((first + 100 * n, length),), length), n) for n, length in enumerate(lengths)]

    view, grown = View(tuple(placed(root, 0))), [placed(tail, 5000) for tail in tails]
    found, counts = tiles_of([view] * len(tails), grown, 32)
    known = view.tiles[32]
    tiles = [_keys_of(tile) for tile in found.tolist()]
    for tail, end, count in zip(grown, accumulate(counts), counts, strict=True):
        own, behind = (
            token_by_token(list(map(tuple, extents_of(pieces).tolist())), 32) for pieces in (view.pieces, tail)
        )
        assert tiles[end - count : end] == own + behind
    tiles_of([view], [()], 32)
    assert view.tiles[32] is known


@given(
    lengths=st.lists(st.lists(st.integers(0, 80), max_size=3), max_size=9),
    places=st.lists(st.integers(0, 9_000), min_size=2, max_size=2, unique=True),
)
def test_views_of_the_same_lengths_are_cut_alike_wherever_they_lie(lengths: list[list[int]], places: list[int]) -> None:
    for place in places:
        runs = [
            Run(tuple((place + 300 * n + 90 * m, each) for m, each in enumerate(some)), sum(some))
            for n, some in enumerate(lengths)
        ]
        view = View(tuple(Placed(run, place % 50 + n) for n, run in enumerate(runs)))
        found, counts = tiles_of([view], [()], 32)
        assert counts == (len(found),)
        expected = token_by_token(list(map(tuple, view.extents.tolist())), 32)
        assert [_keys_of(tile) for tile in found.tolist()] == expected


@pytest.mark.parametrize(
    ("length", "num_blocks", "most_keys", "num_tiles"),
    [(85, 300, 64, 399), (33, 300, 64, 200), (33, 300, 32, 310), (1, 300, 64, 150), (1024, 32, 64, 512), (0, 9, 64, 0)],
)
def test_how_many_tiles_usual_blocks_take(length: int, num_blocks: int, most_keys: int, num_tiles: int) -> None:
    extents = [(10_000 - number * length, length, number) for number in range(num_blocks)]
    assert len(keys_by_tile(extents, most_keys)) == num_tiles


@given(
    tails=st.lists(
        st.lists(st.lists(st.tuples(st.integers(0, 900), st.integers(0, 90)), max_size=3), max_size=3),
        min_size=1,
        max_size=4,
    ),
    most_keys=st.sampled_from([2, 8, 32]),
)
def test_few_tiles_are_cut_as_many_are(tails: list[list[list[tuple[int, int]]]], most_keys: int) -> None:
    grown = [
        [Placed(Run(tuple(run), sum(n for _, n in run)), shift) for shift, run in enumerate(tail)] for tail in tails
    ]
    every = extents_of([piece for tail in grown for piece in tail])
    together, counts = key_tiles(every, numpy.array([sum(map(len, tail)) for tail in tails]), most_keys)
    one_by_one, others = _few_tiles(grown, most_keys)
    assert counts == others and together.tolist() == one_by_one.tolist() and one_by_one.dtype == together.dtype
