"""The items of what every bundle of rows sees alone: a tile of its rows over tiles of its view's keys, then its own.

Shapes: B bundles, S tiles of rows (each is a stream, `balance.py`), I items.
"""

from dataclasses import dataclass

import numpy

from agent_runtime.engine.gpu.balance import longest_unit
from agent_runtime.engine.gpu.work_list import ITEM_FIELDS, Shape
from agent_runtime.engine.runs import stretched


@dataclass(frozen=True, slots=True)
class Shown:
    """The bundles of one kind, narrow or wide: their rows, the listed tiles of keys that each is shown, and whether
    parts of it are merged in any case, since its rows share something with others.
    """

    first_B: numpy.ndarray
    rows_B: numpy.ndarray
    first_shown_B: numpy.ndarray
    shown_B: numpy.ndarray
    is_sharing_B: numpy.ndarray


@dataclass(frozen=True, slots=True)
class OwnItems:
    """Items [I, fields] with how long each is, in tiles of keys, and how many parts they write."""

    items: numpy.ndarray
    lengths: numpy.ndarray
    num_parts: int


def own_items(
    shown: Shown, kind: int, shape: Shape, begins_T: numpy.ndarray, merges: numpy.ndarray, first_part: int
) -> OwnItems:
    """Return the items of bundles, whose parts are numbered from `first_part` on; what is merged goes to `merges`.

    `begins_T` is the first row that each row sees of those that are computed.
    """
    rows_each, keys = shape.rows_each[kind], shape.tiling[kind].keys
    first_B, rows_B = shown.first_B, shown.rows_B
    tiles_B = -(-rows_B // rows_each)
    bundle_S, tile_S = _numbered(tiles_B)
    first_S, shown_S = first_B[bundle_S], shown.shown_B[bundle_S]
    begin_S = begins_T[first_S + tile_S * rows_each] - first_S
    stop_S = numpy.minimum((tile_S + 1) * rows_each, rows_B[bundle_S])
    length_S = shown_S - (begin_S - stop_S) // keys
    units_S = -(-length_S // longest_unit(length_S.tolist(), shape.num_groups, shape.num_programs(kind)))
    stream_of_B = numpy.cumsum(tiles_B) - tiles_B
    most_B = numpy.maximum.reduceat(units_S, stream_of_B)
    is_split_B = shown.is_sharing_B | (most_B > 1)
    parts_B = numpy.where(is_split_B, most_B * rows_B, 0)
    part_B = first_part + numpy.cumsum(parts_B) - parts_B

    stream_I, number_I = _numbered(units_S)
    if len(stream_I) > len(bundle_S) > len(rows_B):  # of a bundle's items those over the same keys beside each other
        in_order = numpy.lexsort((stream_I, number_I, bundle_S[stream_I]))
        stream_I, number_I = stream_I[in_order], number_I[in_order]
    bundle_I, begin_of_I, shown_I = bundle_S[stream_I], begin_S[stream_I], shown_S[stream_I]
    length_I, units_I = length_S[stream_I], units_S[stream_I]
    begin_I = number_I * length_I // units_I
    end_I = (number_I + 1) * length_I // units_I
    first_I = numpy.minimum(begin_I, shown_I)
    own_I = begin_of_I + numpy.maximum(begin_I - shown_I, 0) * keys
    own_end_I = numpy.minimum(begin_of_I + numpy.maximum(end_I - shown_I, 0) * keys, stop_S[stream_I])
    items = numpy.empty((len(stream_I), ITEM_FIELDS), dtype=numpy.int64)
    items[:, 0] = first_B[bundle_I]
    items[:, 1] = rows_I = rows_B[bundle_I]
    items[:, 2] = tile_S[stream_I]
    items[:, 3] = shown.first_shown_B[bundle_I] + first_I
    items[:, 4] = numpy.minimum(end_I, shown_I) - first_I
    items[:, 5] = own_I
    items[:, 6] = numpy.maximum(own_end_I - own_I, 0)
    items[:, 7] = numpy.where(is_split_B[bundle_I], part_B[bundle_I] + number_I * rows_I, -1)

    bundle_R, row_R = _numbered(numpy.where(is_split_B, rows_B, 0))
    at_R = first_B[bundle_R] + row_R
    merges[at_R, 0] = part_B[bundle_R] + row_R
    merges[at_R, 1] = units_S[stream_of_B[bundle_R] + row_R // rows_each]
    merges[at_R, 2] = rows_B[bundle_R]
    return OwnItems(items, end_I - begin_I, int(parts_B.sum()))


def _numbered(counts: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Return for `counts[i]` things of every i which i it is, and the number of each among those."""
    return numpy.repeat(numpy.arange(len(counts)), counts), stretched(numpy.zeros_like(counts), counts)
