"""Tiles of keys are all keys of a view in its order, of two extents each, and as few as can be."""

from collections.abc import Sequence

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runtime.engine.gpu.key_tiles import KEY_TILE_FIELDS, key_tiles

# A key: its slot, and by how many positions it is moved.
Key = tuple[int, int]


def tiles_of(extents: Sequence[tuple[int, int, int]], most_keys: int) -> list[list[Key]]:
    """Return the keys of every tile."""
    found = key_tiles(numpy.array(extents, dtype=numpy.int64).reshape(-1, 3), most_keys)
    assert found.shape[1] == KEY_TILE_FIELDS and found.dtype == numpy.int64
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
    assert tiles_of(extents, most_keys) == token_by_token(extents, most_keys)


@pytest.mark.parametrize(
    ("length", "num_blocks", "most_keys", "num_tiles"),
    [(85, 300, 64, 399), (33, 300, 64, 200), (33, 300, 32, 310), (1, 300, 64, 150), (1024, 32, 64, 512), (0, 9, 64, 0)],
)
def test_how_many_tiles_usual_blocks_take(length: int, num_blocks: int, most_keys: int, num_tiles: int) -> None:
    extents = [(10_000 - number * length, length, number) for number in range(num_blocks)]
    assert len(tiles_of(extents, most_keys)) == num_tiles
