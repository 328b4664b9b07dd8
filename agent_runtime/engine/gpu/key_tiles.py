"""A view's keys cut into tiles of few extents each, so that a kernel computes where keys lie and loads no tables of it.

An extent is a run of slots behind each other whose keys are all moved by the same number of positions: a block, or the
part of one that lies together. A tile takes keys in the order of the view, from two extents at most: it ends where a
third would begin, even if there is room for more. Tiles of N keys are full where blocks have N - 1 tokens or more;
blocks of 33 tokens fill three quarters of tiles of 64 keys, and those of one token two places of a tile.

Shapes: E extents of a view, B tiles.
"""

import numpy

# What a tile is: first slot, shift and number of keys of its first extent, and the same of the second, whose number is
# 0 where there is none.
KEY_TILE_FIELDS = 6
SHIFT_FIELDS = (1, 4)


def key_tiles(extents_E3: numpy.ndarray, most_keys: int) -> numpy.ndarray:
    """Return the tiles of up to `most_keys` keys, int64 [B, KEY_TILE_FIELDS]; there are as few as can be.

    `extents_E3` are the first slot, the length and the shift of every extent; empty ones are passed over.
    """
    firsts, lengths, shifts = extents_E3[extents_E3[:, 1] > 0].T
    if not lengths.size:
        return numpy.empty((0, KEY_TILE_FIELDS), dtype=numpy.int64)
    ends = numpy.cumsum(lengths)
    bounds = _bounds(lengths, ends, most_keys)
    begin, end = bounds[:-1], bounds[1:]
    one = numpy.searchsorted(ends, begin, side="right")
    other = numpy.minimum(one + 1, len(ends) - 1)
    num_one = numpy.minimum(end, ends[one]) - begin
    num_other = end - begin - num_one
    has_other = num_other > 0
    found: numpy.ndarray = numpy.stack(
        (
            firsts[one] + lengths[one] - ends[one] + begin,
            shifts[one],
            num_one,
            firsts[other] * has_other,
            shifts[other] * has_other,
            num_other,
        ),
        1,
    )
    return found


def _bounds(lengths: numpy.ndarray, ends: numpy.ndarray, most_keys: int) -> numpy.ndarray:
    """Return where tiles begin, counted in keys, and where the last one ends, [B + 1].

    Each is as long as it can be. Only an extent that lies within a tile, with another behind it, cuts that tile short,
    and it is shorter than the tile: up to the end of the next such extent tiles are full, however many.
    """
    short = numpy.flatnonzero(lengths[1:-1] <= most_keys - 2) + 1
    end_of, begin = ends.tolist() if short.size else [], 0
    found: list[int] = []
    for number in short.tolist():
        left = end_of[number] - begin
        if left >= most_keys:
            stop = begin + left // most_keys * most_keys
            found.extend(range(begin, stop, most_keys))
            left, begin = left % most_keys, stop
        if left > 0:  # the next tile begins in this extent, or in the one before it
            found.append(begin)
            second = number + 1 if begin >= end_of[number - 1] else number
            begin = min(begin + most_keys, end_of[second])
    rest = numpy.arange(begin, ends[-1], most_keys)
    return numpy.concatenate((numpy.array(found, dtype=numpy.int64), rest, ends[-1:]))
