"""A view's keys cut into tiles of few extents each, so that a kernel computes where keys lie and loads no tables of it.

An extent is a run of slots behind each other whose keys are all moved by the same number of positions: a block, or the
part of one that lies together. A tile takes keys in the order of the view, from two extents at most: it ends where a
third would begin, even if there is room for more. Tiles of N keys are full where blocks have N - 1 tokens or more;
blocks of 33 tokens fill three quarters of tiles of 64 keys, and those of one token two places of a tile.

What a view has grown by, as when tokens are decoded, begins a tile of its own: that is one tile more at most, and the
tiles of what was there before are found out once. They are kept with that view and go when it goes: 48 bytes a tile.

Shapes: E extents, V views, B tiles.
"""

from collections.abc import Sequence

import numpy

from agent_runtime.engine.span import Placed, View, extents_of

# What a tile is: first slot, shift and number of keys of its first extent, and the same of the second, whose number is
# 0 where there is none.
KEY_TILE_FIELDS = 6
SHIFT_FIELDS = (1, 4)


def tiles_of(
    roots: Sequence[View], tails: Sequence[Sequence[Placed]], most_keys: int
) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Return the tiles of up to `most_keys` keys of some views, int64 [B, KEY_TILE_FIELDS], and how many each has, [V].

    Each view is a root and a tail that it has grown by. Tiles lie view by view.
    """
    kept = [_kept(root, most_keys) for root in roots]
    grown = [piece for tail in tails for piece in tail]
    if not grown:
        return numpy.concatenate(kept), numpy.array(list(map(len, kept)), dtype=numpy.int64)
    counts = [sum([len(run.extents) for run, _ in tail]) for tail in tails]
    found, numbers = key_tiles(extents_of(grown), numpy.array(counts), most_keys)
    ends = numpy.cumsum(numbers)
    parts: list[numpy.ndarray] = []
    for root, begin, end in zip(kept, (ends - numbers).tolist(), ends.tolist(), strict=True):
        if len(root):
            parts.append(root)
        parts.append(found[begin:end])
    return numpy.concatenate(parts), numbers + list(map(len, kept))


def _kept(view: View, most_keys: int) -> numpy.ndarray:
    found = view.tiles.get(most_keys)
    if found is None:
        found, _ = key_tiles(view.extents, numpy.array([len(view.extents)]), most_keys)
        view.tiles[most_keys] = found
    return found


def key_tiles(
    extents_E3: numpy.ndarray, counts_V: numpy.ndarray, most_keys: int
) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Return the tiles of up to `most_keys` keys, int64 [B, KEY_TILE_FIELDS], and how many each view has, [V].

    `extents_E3` are the first slot, the length and the shift of every extent, `counts_V` how many of them each view
    has; no tile is of two views. Tiles are as few as can be. Empty extents are passed over.
    """
    is_there = extents_E3[:, 1] > 0
    if not is_there.all():
        before = numpy.concatenate(([0], numpy.cumsum(is_there)))
        stops = numpy.cumsum(counts_V)
        extents_E3, counts_V = extents_E3[is_there], before[stops] - before[stops - counts_V]
    firsts, lengths, shifts = extents_E3.T
    if not lengths.size:
        return numpy.empty((0, KEY_TILE_FIELDS), dtype=numpy.int64), numpy.zeros(len(counts_V), dtype=numpy.int64)
    ends = numpy.cumsum(lengths)
    stops = numpy.cumsum(counts_V)
    begin = _begins(lengths, ends, stops, most_keys)
    end = numpy.append(begin[1:], ends[-1])
    one = numpy.searchsorted(ends, begin, side="right")
    other = numpy.minimum(one + 1, len(ends) - 1)
    num_one = numpy.minimum(end, ends[one]) - begin
    num_other = end - begin - num_one
    has_other = num_other > 0
    found = numpy.empty((len(begin), KEY_TILE_FIELDS), dtype=numpy.int64)
    found[:, 0] = (firsts + lengths - ends)[one] + begin
    found[:, 1] = shifts[one]
    found[:, 2] = num_one
    found[:, 3] = firsts[other] * has_other
    found[:, 4] = shifts[other] * has_other
    found[:, 5] = num_other
    num_before = numpy.searchsorted(one, stops)  # tiles that begin in extents of this view or one before it
    return found, numpy.diff(num_before, prepend=0)


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
