"""Every tile of rows meets every key that it sees once, and no two items write the same part."""

import numpy
import torch
from hypothesis import given
from hypothesis import strategies as st

from agent_runtime.engine.gpu.own_items import Shown, own_items
from agent_runtime.engine.gpu.tiling import tiling_of
from agent_runtime.engine.gpu.work_list import MERGE_FIELDS, Shape


@given(
    bundles=st.lists(st.tuples(st.integers(1, 90), st.integers(0, 300), st.booleans()), min_size=1, max_size=8),
    per_group=st.sampled_from([1, 3, 4]),
    kind=st.sampled_from([0, 1]),
    num_multiprocessors=st.sampled_from([1, 8, 132]),
    first_part=st.integers(0, 5),
)
def test_items_are_all_work_once(
    bundles: list[tuple[int, int, bool]], per_group: int, kind: int, num_multiprocessors: int, first_part: int
) -> None:
    shape = Shape(per_group, 2, 8192, tiling_of(torch.bfloat16, 128), num_multiprocessors)
    rows_B, shown_B, is_sharing_B = (numpy.array(column) for column in zip(*bundles, strict=True))
    first_B, first_shown_B = numpy.cumsum(rows_B) - rows_B, numpy.cumsum(shown_B) - shown_B
    begins_T = numpy.repeat(first_B, rows_B)  # each bundle is one family
    merges = numpy.zeros((len(begins_T), MERGE_FIELDS), dtype=numpy.int64)
    shown = Shown(first_B, rows_B, first_shown_B, shown_B, is_sharing_B)
    found = own_items(shown, kind, shape, begins_T, merges, first_part)
    rows_each, keys = shape.rows_each[kind], shape.tiling[kind].keys

    met: dict[tuple[int, int], list[tuple[int, int, int, int]]] = {}
    parts: dict[int, list[int]] = {}
    for item, length in zip(found.items.tolist(), found.lengths.tolist(), strict=True):
        first, num_rows, tile, first_tile, num_tiles, own, num_own, part_at = item
        met.setdefault((first, tile), []).append((first_tile, num_tiles, own, num_own))
        assert length == num_tiles - (-num_own // keys) > 0
        for row in range(tile * rows_each, min((tile + 1) * rows_each, num_rows)):
            parts.setdefault(first + row, []).append(part_at + row if part_at >= 0 else -1)
    for first, num_rows, first_tile, num_tiles in zip(
        *(column.tolist() for column in (first_B, rows_B, first_shown_B, shown_B)), strict=True
    ):
        for tile in range(-(-num_rows // rows_each)):
            pieces = met.pop((first, tile))
            listed = [at + n for at, number, _, _ in pieces for n in range(number)]
            assert listed == list(range(first_tile, first_tile + num_tiles))
            own = [at + n for _, _, at, number in pieces for n in range(number)]
            assert own == list(range(min((tile + 1) * rows_each, num_rows)))
    assert not met
    written = [part for some in parts.values() for part in some if part >= 0]
    assert len(set(written)) == len(written)
    assert all(first_part <= part < first_part + found.num_parts for part in written)
    is_merged_T = numpy.repeat(is_sharing_B, rows_B)
    for row, (at, number, apart, *_) in enumerate(merges.tolist()):
        assert parts[row] == ([at + n * apart for n in range(number)] if number else [-1])
        assert number > 0 or not is_merged_T[row]
