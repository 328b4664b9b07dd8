"""A view's keys cut into tiles of few extents each, so that a kernel computes where keys lie and loads no tables of it.

An extent is a run of slots behind each other whose keys are all moved by the same number of positions: a block, or the
part of one that lies together. A tile takes keys in the order of the view, from two extents at most: it ends where a
third would begin, even if there is room for more. Tiles of N keys are full where blocks have N - 1 tokens or more;
blocks of 33 tokens fill three quarters of tiles of 64 keys, and those of one token two places of a tile.

What a view has grown by, as when tokens are decoded, begins a tile of its own: that is one tile more at most, and the
tiles of what was there before are found out once. They are kept with that view and go when it goes: 24 bytes a tile.

Shapes: E extents, V views, B tiles.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from operator import add

import numpy

from agent_runtime.engine.span import Placed, View, extents_of

# What a tile is: first slot, shift and number of keys of its first extent, and the same of the second, whose number is
# 0 where there is none.
KEY_TILE_FIELDS = 6
SHIFT_FIELDS = slice(1, None, 3)
# How many cuts are kept, 40 bytes a tile each: where a block gives way to one of its length, the cut is the same.
_MOST_KEPT = 32
# Up to how many tiles are cut one by one: 50 us go by before the first one of those that are cut together.
_FEW = 256
_NO_TILES = numpy.empty((0, KEY_TILE_FIELDS), dtype=numpy.int32)


def tiles_of(
    roots: Sequence[View], tails: Sequence[Sequence[Placed]], most_keys: int
) -> tuple[numpy.ndarray, tuple[int, ...]]:
    """Return the tiles of up to `most_keys` keys of some views, int32 [B, KEY_TILE_FIELDS], and how many each has.

    Each view is a root and a tail that it has grown by; there is one at least. Tiles lie view by view. They are read
    only: a view keeps its own.
    """
    parts = [_kept(root, most_keys) for root in roots]
    numbers = tuple(map(len, parts))
    grown = [piece for tail in tails for piece in tail]
    if not grown:
        return parts[0] if len(parts) == 1 else numpy.concatenate(parts), numbers
    counts = [sum([len(run.extents) for run, _ in tail]) for tail in tails]
    if sum(counts) + sum([run.length for run, _ in grown]) // most_keys <= _FEW:
        found, behind = _few_tiles(tails, most_keys)
    else:
        found, behind = key_tiles(extents_of(grown), numpy.array(counts), most_keys)
    if not any(numbers):
        return found, tuple(behind)
    ends = list(accumulate(behind))
    own = [found[end - number : end] for end, number in zip(ends, behind, strict=True)]
    parts = [part for both in zip(parts, own, strict=True) for part in both if len(part)]
    return numpy.concatenate(parts), tuple(map(add, numbers, behind))


def _few_tiles(tails: Sequence[Sequence[Placed]], most_keys: int) -> tuple[numpy.ndarray, list[int]]:
    """Return what `key_tiles` does, sooner where there are few tiles: tile by tile."""
    words: list[int] = []
    behind: list[int] = []
    for tail in tails:
        begin = len(words)
        room = 0  # of the tile before this extent, if that is of one extent alone
        for run, shift in tail:
            for first, length in run.extents:
                taken = min(room, length)
                if taken:
                    words[-3:] = first, shift, taken
                    room = 0
                while taken < length:
                    count = min(most_keys, length - taken)
                    words += (first + taken, shift, count, 0, 0, 0)
                    taken, room = taken + count, most_keys - count
        behind.append((len(words) - begin) // KEY_TILE_FIELDS)
    return numpy.array(words, dtype=numpy.int32).reshape(-1, KEY_TILE_FIELDS), behind


def _kept(view: View, most_keys: int) -> numpy.ndarray:
    found = view.tiles.get(most_keys)
    if found is None:
        extents_E3 = view.extents
        found = _cut_alike(extents_E3[:, 1].tobytes(), most_keys).tiles_of(extents_E3)
        view.tiles[most_keys] = found
    return found


def key_tiles(extents_E3: numpy.ndarray, counts_V: numpy.ndarray, most_keys: int) -> tuple[numpy.ndarray, list[int]]:
    """Return the tiles of up to `most_keys` keys, int32 [B, KEY_TILE_FIELDS], and how many each view has.

    `extents_E3` are the first slot, the length and the shift of every extent, `counts_V` how many of them each view
    has; no tile is of two views. Tiles are as few as can be. Empty extents are passed over.
    """
    cut = _cut(extents_E3[:, 1], counts_V, most_keys)
    return cut.tiles_of(extents_E3), cut.counts_V.tolist()


@dataclass(frozen=True, slots=True, eq=False)
class _Cut:
    """How extents of some lengths are cut: tiles whose extents begin at 0 and are not moved, which extents those are
    (the other one of tiles that have one), and how many tiles each view has.
    """

    tiles: numpy.ndarray
    one: numpy.ndarray
    have_other: numpy.ndarray
    other: numpy.ndarray
    counts_V: numpy.ndarray

    def tiles_of(self, extents_E3: numpy.ndarray) -> numpy.ndarray:
        """Return the tiles of extents of such lengths."""
        found, ones = self.tiles.copy(), extents_E3.take(self.one, 0)
        found[:, 0] += ones[:, 0]
        found[:, 1] = ones[:, 2]
        if self.other.size:
            found[self.have_other, 3:5] = extents_E3[self.other, ::2]
        return found


@lru_cache(maxsize=_MOST_KEPT)
def _cut_alike(lengths_E: bytes, most_keys: int) -> _Cut:
    """Return how a view is cut whose extents have these lengths, the bytes of int64."""
    lengths = numpy.frombuffer(lengths_E, dtype=numpy.int64)
    return _cut(lengths, numpy.array([len(lengths)]), most_keys)


def _cut(lengths_E: numpy.ndarray, counts_V: numpy.ndarray, most_keys: int) -> _Cut:
    there = numpy.flatnonzero(lengths_E)
    lengths, stops = lengths_E[there], numpy.searchsorted(there, numpy.cumsum(counts_V))
    if not lengths.size:
        return _Cut(_NO_TILES, there, there, there, numpy.zeros_like(counts_V))
    ends = numpy.cumsum(lengths)
    begin = _begins(lengths, ends, stops, most_keys)
    end = numpy.concatenate((begin[1:], ends[-1:]))
    one = numpy.searchsorted(ends, begin, side="right")
    num_one = numpy.minimum(end, ends[one]) - begin
    num_other = end - begin - num_one
    have_other = numpy.flatnonzero(num_other)
    tiles = numpy.zeros((len(begin), KEY_TILE_FIELDS), dtype=numpy.int32)
    tiles[:, 0] = begin - (ends - lengths)[one]
    tiles[:, 2] = num_one
    tiles[:, 5] = num_other
    counts = numpy.searchsorted(one, stops)  # tiles that begin in extents of this view or one before it
    counts[1:] -= counts[:-1].copy()
    return _Cut(tiles, there[one], have_other, there[one[have_other] + 1], counts)


def _begins(lengths: numpy.ndarray, ends: numpy.ndarray, stops: numpy.ndarray, most_keys: int) -> numpy.ndarray:
    """Return where tiles begin, counted in keys, [B]; a view's extents end before number `stops` of them.

    Each is as long as it can be. Only an extent that lies within a tile, with another of its view behind it, cuts that
    tile short, and it is shorter than the tile: up to the end of the next such extent, or of the view, tiles are full.
    """
    is_last = numpy.zeros(len(lengths), dtype=bool)
    is_last[stops[stops > 0] - 1] = True
    is_inside = (lengths <= most_keys - 2) & ~is_last
    is_inside[0] = False
    is_inside[1:] &= ~is_last[:-1]
    met = numpy.flatnonzero(is_inside | is_last)
    found: list[int] = []
    begin = 0
    befores = (ends - lengths)[met].tolist()
    behinds = ends[numpy.minimum(met + 1, len(ends) - 1)].tolist()
    for before, end, behind, ends_view in zip(befores, ends[met].tolist(), behinds, is_last[met].tolist(), strict=True):
        if ends_view:
            found.extend(range(begin, end, most_keys))
            begin = end
            continue
        left = end - begin
        if left >= most_keys:
            stop = begin + left // most_keys * most_keys
            found.extend(range(begin, stop, most_keys))
            left, begin = left % most_keys, stop
        if left > 0:  # the next tile begins in this extent, or in the one before it
            found.append(begin)
            begin = min(begin + most_keys, behind if begin >= before else end)
    return numpy.array(found, dtype=numpy.int64)
