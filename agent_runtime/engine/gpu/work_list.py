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

from agent_runtime.engine.gpu.sharing import NOT_SEEN, Sharing, shared_among
from agent_runtime.engine.layout import Bundle, Group, Layout, groups_of, visible
from agent_runtime.engine.span import View

# The fields of a piece, int32 each: first row and number of rows of its bundle, its tile of them, its first key and how
# many, which row of the bundle the first key is of (-1: keys of the view), where its mask begins (-1: causal), and
# where its part goes (-1: it is the only one).
PIECE_FIELDS = 8
# What is merged of a row: where its first part lies, how many there are, and how far apart they are; 0 for none. The
# same for the parts of what it shares.
MERGE_FIELDS = 6
# Query rows (rows of the forward times query heads of a key head) of a tile, at least, where there are few, and else.
_NARROW, _WIDE = 16, 64
# Keys are given out in multiples of this, and no chunk is shorter than so many of them.
KEY_TILE, _LEAST_TILES = 64, 4
# The arrays of a list, in their order.
SECTIONS = (
    "positions_T",
    "slots_T",
    "merges_T",
    "key_slots_K",
    "key_shifts_K",
    "narrow",
    "wide",
    "masks",
    "shared_rows",
    "shared_runs",
    "shared_shifts",
    "shared",
)
# Every array begins at a multiple of 16 bytes: kernels are compiled once for pointers that do.
_ALIGNED = 4


@dataclass(frozen=True, slots=True)
class Arrays:
    """A work list on the host: int32 each, in the order of `WorkList`, and how many pieces and parts there are."""

    sections: tuple[numpy.ndarray, ...]
    counts: tuple[int, int, int]
    num_parts: int

    def on(self, device: torch.device) -> "WorkList":
        """Return the list on `device`, copied there in one piece."""
        return work_list(_copied(self.sections, device), self.counts, self.num_parts)


@dataclass(frozen=True, slots=True)
class WorkList:
    """The arrays of one forward on one device, int32 but for `masks` (uint8).

    `slots_T` is -1 for rows that are not kept. `narrow` and `wide` hold the pieces for the two sizes of tiles: their
    number first, the fields of the first piece at `PIECE_FIELDS`. `shared` holds those of what sessions share, in wide
    tiles: first of `shared_rows` (a row and its session) and their number, first of `shared_runs` (first key, number of
    keys, where in `shared_shifts` those of the sessions begin) and their number, and where its part goes. `counts` are
    the numbers of the three.
    """

    positions_T: torch.Tensor
    slots_T: torch.Tensor
    merges_T: torch.Tensor
    key_slots_K: torch.Tensor
    key_shifts_K: torch.Tensor
    narrow: torch.Tensor
    wide: torch.Tensor
    masks: torch.Tensor
    shared_rows: torch.Tensor
    shared_runs: torch.Tensor
    shared_shifts: torch.Tensor
    shared: torch.Tensor
    counts: tuple[int, int, int]
    num_parts: int

    @property
    def num_rows(self) -> int:
        """Return T."""
        return self.positions_T.numel()


@dataclass(frozen=True, slots=True)
class Shape:
    """What planning has to know: query heads to a key head, key heads, how many programs a device runs at once, and how
    many positions its rotary table holds.
    """

    per_group: int
    num_groups: int
    num_programs: int
    num_positions: int

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


def work_list(sections: Sequence[torch.Tensor], counts: tuple[int, int, int], num_parts: int) -> WorkList:
    """Return the list whose sections lie on a device already."""
    named = dict(zip(SECTIONS, sections, strict=True))
    return WorkList(**{**named, "masks": named["masks"].view(torch.uint8)}, counts=counts, num_parts=num_parts)


def plan_work(layout: Layout, shape: Shape) -> Arrays:
    """Plan a forward. Raises IndexError for a position that the rotary table does not hold: a kernel would not."""
    groups = groups_of(layout)
    sharing = shared_among(groups)
    plan = _Plan(layout, shape, sharing, _chunk(groups, sharing, shape))
    for group in groups:
        for bundle in group.bundles:
            plan.add(group, bundle)
    if sharing is not None:
        plan.share(sharing)
    return plan.arrays()


class _Plan:
    """A work list while it is written."""

    def __init__(self, layout: Layout, shape: Shape, sharing: Sharing | None, chunk: int) -> None:
        self._layout, self._shape, self._sharing, self._chunk = layout, shape, sharing, chunk
        self._pieces: tuple[list[tuple[int, ...]], ...] = ([], [], [])
        self._shared = _SharedArrays()
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
        view = group.view if self._sharing is None else self._sharing.view_of(group)
        is_sharing = view is not group.view
        first_key, num_view = self._view(view), view.length
        shown = [(first_key + n, min(chunk, num_view - n), -1) for n in range(0, num_view, chunk)]
        is_chain, mask_at = _is_chain(bundle), -1
        if not is_chain:
            sees = visible(bundle.spans, self._layout)
            mask_at, self._num_masked = self._num_masked, self._num_masked + sees.size
            self._masks.append(sees.ravel())
        own_chunk = chunk if is_chain else num_rows
        num_most = len(shown) + -(-num_rows // own_chunk)
        is_split = is_sharing or num_most > 1
        pieces, rows_of_tile = self._pieces[self._shape.tile_of(num_rows)], self._shape.rows_of(num_rows)
        for tile, first in enumerate(range(0, num_rows, rows_of_tile)):
            stop = min(num_rows, first + rows_of_tile)
            sees_to = stop if is_chain else num_rows
            owned = [(0, min(own_chunk, sees_to - n), n) for n in range(0, sees_to, own_chunk)]
            parts = [*shown, *owned]
            for number, (key, count, own) in enumerate(parts):
                part_at = self._num_parts + number * num_rows if is_split else -1
                pieces.append((bundle.first, num_rows, tile, key, count, own, mask_at, part_at))
            if is_split:
                merges = self._merges[bundle.first + first : bundle.first + stop]
                merges[:, 0] = self._num_parts + numpy.arange(first, stop)
                merges[:, 1:3] = len(parts), num_rows
        if is_split:
            self._num_parts += num_most * num_rows

    def share(self, sharing: Sharing) -> None:
        """Write the pieces of what sessions share, behind those of all bundles."""
        rows, chunk = sharing.rows(), self._chunk
        first_keys = [self._add_keys(run.slots(), None) for run in sharing.runs]
        self._shared.rows, self._shared.shifts = rows.ravel(), sharing.shifts_US.ravel()
        num_sessions = sharing.shifts_US.shape[1]
        rows_of_tile = self._shape.tiles[1] // self._shape.per_group
        listed: dict[bytes, list[tuple[int, int]]] = {}
        for first in range(0, len(rows), rows_of_tile):
            tile = rows[first : first + rows_of_tile]
            seen = (sharing.shifts_US[:, numpy.unique(tile[:, 1])] != NOT_SEEN).any(1)
            if seen.tobytes() not in listed:
                runs = [
                    (first_keys[number], sharing.runs[number].length, number * num_sessions)
                    for number in numpy.flatnonzero(seen).tolist()
                ]
                listed[seen.tobytes()] = [self._shared.add_runs(some) for some in _in_chunks(runs, chunk)]
            parts = listed[seen.tobytes()]
            for number, (first_run, num_runs) in enumerate(parts):
                part_at = self._num_parts + number * len(tile)
                self._pieces[2].append((first, len(tile), first_run, num_runs, part_at, 0, 0, 0))
            self._merges[tile[:, 0], 3] = self._num_parts + numpy.arange(len(tile))
            self._merges[tile[:, 0], 4] = len(parts)
            self._merges[tile[:, 0], 5] = len(tile)
            self._num_parts += len(parts) * len(tile)

    def _view(self, view: View) -> int:
        """Return where the keys of a view begin in the list; they are listed once."""
        if id(view) not in self._first_key:
            self._first_key[id(view)] = self._add_keys(view.slots, view.shifts)
        return self._first_key[id(view)]

    def _add_keys(self, slots: numpy.ndarray, shifts: numpy.ndarray | None) -> int:
        first = self._num_keys
        self._keys.append(slots)
        self._shifts.append(numpy.zeros_like(slots) if shifts is None else shifts)
        self._num_keys += len(slots)
        return first

    def arrays(self) -> Arrays:
        """Return what has been written."""
        spans, num_rows = self._layout.spans, self._layout.num_rows
        kept_at = numpy.full(num_rows, -1)
        for span in spans:
            if span.keep is not None:
                first = self._layout.first_row[span]
                kept_at[first : first + len(span.ids)] = span.keep.slots()
        nothing = numpy.empty(0, dtype=numpy.int64)
        positions_T = numpy.concatenate([numpy.arange(span.start, span.start + len(span.ids)) for span in spans])
        shifts_K = numpy.concatenate([*self._shifts, nothing])
        for places in (positions_T, shifts_K, numpy.maximum(self._shared.shifts, 0)):
            if places.size and not 0 <= int(places.min()) <= int(places.max()) < self._shape.num_positions:
                raise IndexError(f"positions {places.min()} to {places.max()} of {self._shape.num_positions}")
        sees = numpy.concatenate([*self._masks, numpy.empty(0, dtype=bool)]).astype(numpy.uint8)
        seen_words = numpy.pad(sees, (0, -len(sees) % 4)).view(numpy.int32)
        sections = (
            positions_T,
            kept_at,
            self._merges.ravel(),
            numpy.concatenate([*self._keys, nothing]),
            shifts_K,
            *[_with_number(pieces) for pieces in self._pieces[:2]],
            seen_words,
            self._shared.rows,
            self._shared.runs(),
            self._shared.shifts,
            _with_number(self._pieces[2]),
        )
        narrow, wide, shared = map(len, self._pieces)
        counts = (narrow, wide, shared)
        return Arrays(sections, counts, self._num_parts)


class _SharedArrays:
    """What pieces of shared work point to."""

    def __init__(self) -> None:
        self.rows = self.shifts = numpy.empty(0, dtype=numpy.int64)
        self._runs: list[tuple[int, int, int]] = []

    def add_runs(self, runs: Sequence[tuple[int, int, int]]) -> tuple[int, int]:
        """Append runs and return where they begin, and how many there are."""
        first = len(self._runs)
        self._runs.extend(runs)
        return first, len(runs)

    def runs(self) -> numpy.ndarray:
        """Return all of them."""
        return numpy.array(self._runs, dtype=numpy.int64).ravel()


def _in_chunks(runs: Sequence[tuple[int, int, int]], chunk: int) -> list[list[tuple[int, int, int]]]:
    """Cut runs (first key, number of keys, where their shifts are) into lists of `chunk` keys."""
    lists: list[list[tuple[int, int, int]]] = [[]]
    room = chunk
    for first, length, shifts in runs:
        done = 0
        while done < length:
            if room == 0:
                lists.append([])
                room = chunk
            count = min(room, length - done)
            lists[-1].append((first + done, count, shifts))
            done, room = done + count, room - count
    return lists


def _chunk(groups: Sequence[Group], sharing: Sharing | None, shape: Shape) -> int:
    """Return how many keys a piece has at most: few enough that every program has a piece."""
    total = 0
    if sharing is not None:
        num_rows = sum(bundle.num_rows for group in sharing.groups for bundle in group.bundles)
        total = -(-num_rows // (shape.tiles[1] // shape.per_group)) * sum(run.length for run in sharing.runs)
    for group in groups:
        view = group.view if sharing is None else sharing.view_of(group)
        for bundle in group.bundles:
            tiles = -(-bundle.num_rows // shape.rows_of(bundle.num_rows))
            total += tiles * (view.length + (bundle.num_rows + 1) // 2)
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
