"""What the kernels are to do in one forward, as arrays made on the host and copied to the device at once.

Every bundle of rows attends to the keys of its view, in chunks, and to itself; a chunk of keys and a tile of rows are a
piece of work. Chunks are as long as lets all programs have some, whatever the number of blocks: the work of a view
depends on how many tokens it shows, not on how many runs they lie in. Which piece writes where is fixed beforehand, so
the result does not depend on who is ready first.

Shapes: T rows of the forward, W pieces of work, K keys listed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy
import torch

from agent_runtime.engine.layout import Bundle, Group, Layout, groups_of, visible

# The fields of a piece, int32 each: first row and number of rows of its bundle, its tile of them, its first key and how
# many, which row of the bundle the first key is of (-1: keys of the view), where its mask begins (-1: causal), and
# where its part goes (-1: it is the only one).
PIECE_FIELDS = 8
# What is merged of a row: where its first part lies, how many there are, and how far apart they are; 0 for none.
MERGE_FIELDS = 3
# Query rows (rows of the forward times query heads of a key head) of a tile, at least, where there are few, and else.
_NARROW, _WIDE = 16, 64
# Keys are given out in multiples of this, and no chunk is shorter than so many of them.
KEY_TILE, _LEAST_TILES = 64, 4
# Every array begins at a multiple of 16 bytes: kernels are compiled once for pointers that do.
_ALIGNED = 4


@dataclass(frozen=True, slots=True)
class Arrays:
    """A work list on the host: int32 each, in the order of `WorkList`, and how many pieces and parts there are."""

    sections: tuple[numpy.ndarray, ...]
    counts: tuple[int, int]
    num_parts: int

    def on(self, device: torch.device) -> "WorkList":
        """Return the list on `device`, copied there in one piece."""
        return work_list(_copied(self.sections, device), self.counts, self.num_parts)


@dataclass(frozen=True, slots=True)
class WorkList:
    """The arrays of one forward on one device, int32 but for `masks` (uint8).

    `slots_T` is -1 for rows that are not kept. `narrow` and `wide` hold the pieces for the two sizes of tiles: their
    number first, the fields of the first piece at `PIECE_FIELDS`. `counts` are those numbers.
    """

    positions_T: torch.Tensor
    slots_T: torch.Tensor
    merges_T: torch.Tensor
    key_slots_K: torch.Tensor
    key_shifts_K: torch.Tensor
    narrow: torch.Tensor
    wide: torch.Tensor
    masks: torch.Tensor
    counts: tuple[int, int]
    num_parts: int

    @property
    def num_rows(self) -> int:
        """Return T."""
        return self.positions_T.numel()


@dataclass(frozen=True, slots=True)
class Shape:
    """What planning has to know: query heads to a key head, key heads, and how many programs a device runs at once."""

    per_group: int
    num_groups: int
    num_programs: int

    @property
    def tiles(self) -> tuple[int, int]:
        """Return the query rows of a narrow tile and of a wide one, powers of two, of which a tile uses whole rows."""
        least = 1 << (self.per_group - 1).bit_length()
        return max(_NARROW, least), max(_WIDE, least)

    def tile_of(self, num_rows: int) -> int:
        """Return which of the two a bundle of so many rows takes."""
        return int(num_rows > self.tiles[0] // self.per_group)

    def rows_of(self, num_rows: int) -> int:
        """Return how many rows a tile of such a bundle holds."""
        return self.tiles[self.tile_of(num_rows)] // self.per_group


def work_list(sections: Sequence[torch.Tensor], counts: tuple[int, int], num_parts: int) -> WorkList:
    """Return the list whose sections lie on a device already."""
    positions_T, slots_T, merges_T, key_slots_K, key_shifts_K, narrow, wide, masks = sections
    return WorkList(
        positions_T,
        slots_T,
        merges_T,
        key_slots_K,
        key_shifts_K,
        narrow,
        wide,
        masks.view(torch.uint8),
        counts,
        num_parts,
    )


def plan_work(layout: Layout, shape: Shape) -> Arrays:
    """Plan a forward."""
    groups = groups_of(layout)
    plan = _Plan(layout, shape, _chunk(groups, shape))
    for group in groups:
        for bundle in group.bundles:
            plan.add(group, bundle)
    return plan.arrays()


class _Plan:
    """A work list while it is written."""

    def __init__(self, layout: Layout, shape: Shape, chunk: int) -> None:
        self._layout, self._shape, self._chunk = layout, shape, chunk
        self._pieces: tuple[list[tuple[int, ...]], ...] = ([], [])
        self._keys: list[numpy.ndarray] = []
        self._shifts: list[numpy.ndarray] = []
        self._first_key: dict[int, int] = {}
        self._num_keys = 0
        self._masks: list[numpy.ndarray] = []
        self._num_masked = 0
        self._merges = numpy.zeros((layout.num_rows, MERGE_FIELDS), dtype=numpy.int32)
        self._num_parts = 0

    def add(self, group: Group, bundle: Bundle) -> None:
        """Write the pieces of one bundle."""
        chunk, num_rows = self._chunk, bundle.num_rows
        first_key, num_view = self._view(group), group.view.length
        shown = [(first_key + n, min(chunk, num_view - n), -1) for n in range(0, num_view, chunk)]
        is_chain, mask_at = _is_chain(bundle), -1
        if not is_chain:
            sees = visible(bundle.spans, self._layout)
            mask_at, self._num_masked = self._num_masked, self._num_masked + sees.size
            self._masks.append(sees.ravel())
        own_chunk = chunk if is_chain else num_rows
        num_most = len(shown) + -(-num_rows // own_chunk)
        pieces, rows_of_tile = self._pieces[self._shape.tile_of(num_rows)], self._shape.rows_of(num_rows)
        for tile, first in enumerate(range(0, num_rows, rows_of_tile)):
            stop = min(num_rows, first + rows_of_tile)
            sees_to = stop if is_chain else num_rows
            owned = [(0, min(own_chunk, sees_to - n), n) for n in range(0, sees_to, own_chunk)]
            parts = [*shown, *owned]
            for number, (key, count, own) in enumerate(parts):
                part_at = self._num_parts + number * num_rows if num_most > 1 else -1
                pieces.append((bundle.first, num_rows, tile, key, count, own, mask_at, part_at))
            if num_most > 1:
                merges = self._merges[bundle.first + first : bundle.first + stop]
                merges[:, 0] = self._num_parts + numpy.arange(first, stop)
                merges[:, 1:] = len(parts), num_rows
        if num_most > 1:
            self._num_parts += num_most * num_rows

    def _view(self, group: Group) -> int:
        """Return where the keys of a view begin in the list; they are listed once."""
        view = group.view
        if id(view) not in self._first_key:
            self._first_key[id(view)] = self._num_keys
            self._keys.append(view.slots)
            self._shifts.append(view.shifts)
            self._num_keys += view.length
        return self._first_key[id(view)]

    def arrays(self) -> Arrays:
        """Return what has been written."""
        spans, num_rows = self._layout.spans, self._layout.num_rows
        kept_at = numpy.full(num_rows, -1)
        for span in spans:
            if span.keep is not None:
                first = self._layout.first_row[span]
                kept_at[first : first + len(span.ids)] = span.keep.slots()
        nothing = numpy.empty(0, dtype=numpy.int64)
        sees = numpy.concatenate([*self._masks, numpy.empty(0, dtype=bool)]).astype(numpy.uint8)
        seen_words = numpy.pad(sees, (0, -len(sees) % 4)).view(numpy.int32)
        sections = (
            numpy.concatenate([numpy.arange(span.start, span.start + len(span.ids)) for span in spans]),
            kept_at,
            self._merges.ravel(),
            numpy.concatenate([*self._keys, nothing]),
            numpy.concatenate([*self._shifts, nothing]),
            *[_with_number(pieces) for pieces in self._pieces],
            seen_words,
        )
        counts = (len(self._pieces[0]), len(self._pieces[1]))
        return Arrays(sections, counts, self._num_parts)


def _chunk(groups: Sequence[Group], shape: Shape) -> int:
    """Return how many keys a piece has at most: few enough that every program has a piece."""
    total = 0
    for group in groups:
        for bundle in group.bundles:
            tiles = -(-bundle.num_rows // shape.rows_of(bundle.num_rows))
            total += tiles * (group.view.length + (bundle.num_rows + 1) // 2)
    each = -(-total * shape.num_groups // shape.num_programs)
    return max(_LEAST_TILES, -(-each // KEY_TILE)) * KEY_TILE


def _is_chain(bundle: Bundle) -> bool:
    """Whether every row of a bundle sees all that come before it."""
    return all(child.parent is parent for parent, child in zip(bundle.spans, bundle.spans[1:], strict=False))


def _with_number(pieces: Sequence[tuple[int, ...]]) -> numpy.ndarray:
    head = numpy.zeros(PIECE_FIELDS, dtype=numpy.int64)
    head[0] = len(pieces)
    return numpy.concatenate([head, numpy.array(pieces, dtype=numpy.int64).ravel()])


def _copied(arrays: Sequence[numpy.ndarray], device: torch.device) -> list[torch.Tensor]:
    """Return the arrays as int32 tensors on `device`, which are parts of one."""
    begins, length = [], 0
    for array in arrays:
        begins.append(length)
        length += -(-max(array.size, 1) // _ALIGNED) * _ALIGNED
    whole = numpy.zeros(length, dtype=numpy.int32)
    for begin, array in zip(begins, arrays, strict=True):
        whole[begin : begin + array.size] = array
    host = torch.from_numpy(whole)
    there = host.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else host
    return [there[begin : begin + max(array.size, 1)] for begin, array in zip(begins, arrays, strict=True)]
