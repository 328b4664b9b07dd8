"""The work of a packed forward: who attends to what, cut so that all programs have equally much to do.

Every bundle of rows attends to the keys of its view and to itself, a tile of its rows at a time; long runs, and what
several sessions see, is attended by tiles of all their rows together (`sharing.py`). What one tile goes through is cut
into items whatever the number of blocks. Items over the same keys stand beside each other, so that programs that run
at the same time read the same keys. Which item writes where is fixed beforehand.

Shapes: T rows of the forward, W rows whose logits are wanted.
"""

from collections.abc import Iterable, Sequence

import numpy

from agent_runtime.engine.gpu.balance import cut, longest_first, longest_unit
from agent_runtime.engine.gpu.key_tiles import KEY_TILE_FIELDS, SHIFT_FIELDS, key_tiles
from agent_runtime.engine.gpu.sharing import NOT_SEEN, Sharing, shared_among
from agent_runtime.engine.gpu.work_list import ITEM_FIELDS, MERGE_FIELDS, Arrays, Shape
from agent_runtime.engine.layout import Bundle, Group, Layout, groups_of
from agent_runtime.engine.span import View

_NOTHING = numpy.empty(0, dtype=numpy.int64)
_NARROW, _WIDE, _SHARED = 0, 1, 2

# Some slots behind each other: the first, how many, and where it is said by how much each session has them moved.
Extent = tuple[int, int, int]


def plan_work(layout: Layout, shape: Shape, rows_W: numpy.ndarray = _NOTHING) -> Arrays:
    """Plan a forward. Raises IndexError for a position that the rotary table does not hold: a kernel would not."""
    plan = _Plan(layout, shape)
    groups = groups_of(layout)
    sharing = shared_among(groups, shape)
    plan.add(groups, sharing)
    if sharing is not None:
        plan.share(sharing)
    return plan.arrays(rows_W)


class _Plan:
    """A work list while it is written."""

    def __init__(self, layout: Layout, shape: Shape) -> None:
        self._layout, self._shape = layout, shape
        self._begins, self.seen_to_T = _families(layout)
        self._items: tuple[list[tuple[int, ...]], ...] = ([], [], [])
        self._lengths: tuple[list[int], ...] = ([], [], [])
        self._key_tiles: list[numpy.ndarray] = [numpy.empty((0, KEY_TILE_FIELDS), dtype=numpy.int64)]
        self._num_key_tiles = 0
        self._shown: dict[tuple[int, int], tuple[int, int]] = {}
        self._merges = numpy.zeros((layout.num_rows, MERGE_FIELDS), dtype=numpy.int32)
        self._num_parts = 0
        self._rows = self._shifts = _NOTHING
        self._runs: list[Extent] = []

    def add(self, groups: Sequence[Group], sharing: Sharing | None) -> None:
        """Write the items of all bundles: what each sees alone, and its own rows."""
        found: tuple[list[_Tiles], list[_Tiles]] = ([], [])
        for group in groups:
            view = group.view if sharing is None else sharing.view_of(group)
            for bundle in group.bundles:
                kind = self._shape.kind_of(bundle.num_rows)
                shown = self._shown_in_tiles(view, self._shape.tiling[kind].keys)
                tiles = _Tiles(bundle, shown, self._shape, kind, self._begins, is_sharing=view is not group.view)
                found[kind].append(tiles)
        for kind, some in enumerate(found):
            lengths = (length for tiles in some for length in tiles.lengths)
            unit = longest_unit(lengths, self._shape.num_groups, self._shape.num_programs(kind))
            for tiles in some:
                self._add_tiles(kind, tiles, unit)

    def _add_tiles(self, kind: int, tiles: "_Tiles", unit: int) -> None:
        bundle = tiles.bundle
        cuts = [cut(length, unit) for length in tiles.lengths]
        num_most = max(map(len, cuts)) - 1
        is_split = tiles.is_sharing or num_most > 1
        for number in range(num_most):
            part_at = self._num_parts + number * bundle.num_rows if is_split else -1
            for tile, places in enumerate(cuts):
                if number + 1 < len(places):
                    seen = tiles.part(tile, places[number], places[number + 1])
                    self._items[kind].append((bundle.first, bundle.num_rows, tile, *seen, part_at))
                    self._lengths[kind].append(places[number + 1] - places[number])
        if is_split:
            for tile, places in enumerate(cuts):
                first = tile * tiles.rows_each
                merges = self._merges[bundle.first + first : bundle.stop]
                merges[:, 0] = range(self._num_parts + first, self._num_parts + bundle.num_rows)
                merges[:, 1:3] = len(places) - 1, bundle.num_rows
            self._num_parts += num_most * bundle.num_rows

    def share(self, sharing: Sharing) -> None:
        """Write the items of what is read where it lies; their parts are behind those of all bundles."""
        rows, shifts_US = sharing.rows(), sharing.shifts_US
        self._rows, self._shifts = rows.ravel(), shifts_US.ravel()
        rows_each = self._shape.rows_each[_SHARED]
        tiles = [rows[first : first + rows_each] for first in range(0, len(rows), rows_each)]
        seen = [(shifts_US[:, numpy.unique(tile[:, 1])] != NOT_SEEN).any(1) for tile in tiles]
        keys = self._shape.tiling.shared.keys
        extents = {
            some.tobytes(): [
                (first, length, number * shifts_US.shape[1])
                for number in numpy.flatnonzero(some).tolist()
                for first, length in sharing.runs[number].extents
            ]
            for some in seen
        }
        lengths = {name: _num_tiles(some, keys) for name, some in extents.items()}
        unit = longest_unit(
            (lengths[some.tobytes()] for some in seen), self._shape.num_groups, self._shape.num_programs(_SHARED)
        )
        cuts = {name: cut(length, unit) for name, length in lengths.items()}
        parts = {
            name: [self._add_runs(some) for some in _in_parts(extents[name], cuts[name], keys)]
            for name, some in extents.items()
        }
        items: list[tuple[int, int, tuple[int, ...]]] = []
        for at, (tile, some) in enumerate(zip(tiles, seen, strict=True)):
            name = some.tobytes()
            for number, (first_run, num_runs) in enumerate(parts[name]):
                part_at = self._num_parts + number * len(tile)
                length = cuts[name][number + 1] - cuts[name][number]
                items.append((number, length, (at * rows_each, len(tile), first_run, num_runs, part_at, 0, 0, 0)))
            self._merges[tile[:, 0], 3] = self._num_parts + numpy.arange(len(tile))
            self._merges[tile[:, 0], 4:] = len(parts[name]), len(tile)
            self._num_parts += len(parts[name]) * len(tile)
        for _, length, item in sorted(items, key=lambda item: item[0]):  # those over the same keys beside each other
            self._items[_SHARED].append(item)
            self._lengths[_SHARED].append(length)

    def _add_runs(self, runs: Sequence[Extent]) -> tuple[int, int]:
        first = len(self._runs)
        self._runs.extend(runs)
        return first, len(runs)

    def _shown_in_tiles(self, view: View, most_keys: int) -> tuple[int, int]:
        """Return the first tile of a view's keys in the list and how many there are; they are listed once."""
        name = (id(view), most_keys)
        if name not in self._shown:
            tiles = key_tiles(view.extents, most_keys)
            self._shown[name] = self._num_key_tiles, len(tiles)
            self._key_tiles.append(tiles)
            self._num_key_tiles += len(tiles)
        return self._shown[name]

    def arrays(self, rows_W: numpy.ndarray) -> Arrays:
        """Return what has been written."""
        spans = self._layout.spans
        kept_at = numpy.full(self._layout.num_rows, -1)
        for span in spans:
            if span.keep is not None:
                first = self._layout.first_row[span]
                kept_at[first : first + len(span.ids)] = span.keep.slots()
        positions_T = numpy.concatenate([numpy.arange(span.start, span.start + len(span.ids)) for span in spans])
        tiles = numpy.concatenate(self._key_tiles)
        for places in (positions_T, tiles[:, SHIFT_FIELDS], numpy.maximum(self._shifts, 0)):
            if places.size and not 0 <= int(places.min()) <= int(places.max()) < self._shape.num_positions:
                raise IndexError(f"positions {places.min()} to {places.max()} of {self._shape.num_positions}")
        narrow, wide, shared = (
            _in_order(items, lengths) for items, lengths in zip(self._items, self._lengths, strict=True)
        )
        return Arrays(
            {
                "ids_T": numpy.concatenate([numpy.asarray(span.ids, dtype=numpy.int64) for span in spans]),
                "positions_T": positions_T,
                "slots_T": kept_at,
                "seen_to_T": self.seen_to_T,
                "merges_T": self._merges.ravel(),
                "rows_W": rows_W,
                "narrow": narrow,
                "wide": wide,
                "shared": shared,
                "key_tiles": tiles.ravel(),
                "shared_rows": self._rows,
                "runs": numpy.array(self._runs, dtype=numpy.int64).ravel(),
                "shifts": self._shifts,
            },
            (len(self._items[_NARROW]), len(self._items[_WIDE]), len(self._items[_SHARED])),
            self._num_parts,
        )


class _Tiles:
    """What the tiles of one bundle go through, in tiles of keys: first those of its view, then those of its own."""

    def __init__(
        self,
        bundle: Bundle,
        shown: tuple[int, int],
        shape: Shape,
        kind: int,
        begins: numpy.ndarray,
        *,
        is_sharing: bool,
    ) -> None:
        self.bundle, self.is_sharing = bundle, is_sharing
        self.rows_each, self._keys = shape.rows_each[kind], shape.tiling[kind].keys
        self._first_shown, self._num_shown = shown
        self._own: list[tuple[int, int]] = []
        for first in range(0, bundle.num_rows, self.rows_each):
            begin = int(begins[bundle.first + first]) - bundle.first
            self._own.append((begin, min(first + self.rows_each, bundle.num_rows)))

    @property
    def lengths(self) -> list[int]:
        """Return how many there are for each tile of rows."""
        return [self._num_shown + -(-(stop - begin) // self._keys) for begin, stop in self._own]

    def part(self, tile: int, begin: int, end: int) -> tuple[int, int, int, int]:
        """Return first and number of the view's tiles, and of the bundle's own keys, that lie from `begin` to `end`."""
        first, last = min(begin, self._num_shown), min(end, self._num_shown)
        own_begin, own_stop = self._own[tile]
        own = own_begin + max(begin - self._num_shown, 0) * self._keys
        stop = min(own_begin + max(end - self._num_shown, 0) * self._keys, own_stop)
        return self._first_shown + first, last - first, own, max(stop - own, 0)


def _families(layout: Layout) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Return the first row that each row sees of those that are computed, and the first that does not see it any more.

    Rows lie parents before children, and what descends from a span lies together: a row is seen by all rows from
    itself to the end of what descends from its span, and by no others.
    """
    begins = numpy.empty(layout.num_rows, dtype=numpy.int64)
    ends = numpy.empty(layout.num_rows, dtype=numpy.int64)
    end_of = {span: layout.first_row[span] + len(span.ids) for span in layout.spans}
    root_row: dict[int, int] = {}
    for span in reversed(layout.spans):
        if span.parent is not None:
            end_of[span.parent] = max(end_of[span.parent], end_of[span])
    for span in layout.spans:
        first = layout.first_row[span]
        root_row[id(span)] = first if span.parent is None else root_row[id(span.parent)]
        begins[first : first + len(span.ids)] = root_row[id(span)]
        ends[first : first + len(span.ids)] = end_of[span]
    return begins, ends


def _in_order(items: Sequence[tuple[int, ...]], lengths: Sequence[int]) -> numpy.ndarray:
    table = numpy.array(items, dtype=numpy.int64).reshape(-1, ITEM_FIELDS)
    return table.take(longest_first(lengths), 0).ravel()


def _num_tiles(extents: Iterable[Extent], keys: int) -> int:
    return sum(-(-length // keys) for _, length, _ in extents)


def _in_parts(extents: Sequence[Extent], places: Sequence[int], keys: int) -> list[list[Extent]]:
    """Cut runs at places counted in tiles of `keys`, of which every run begins one."""
    parts: list[list[Extent]] = [[] for _ in places[1:]]
    number, tile = 0, 0
    for first, length, shifts in extents:
        done = 0
        while done < length:
            while tile >= places[number + 1]:
                number += 1
            count = min(length - done, (places[number + 1] - tile) * keys)
            parts[number].append((first + done, count, shifts))
            done, tile = done + count, tile + -(-count // keys)
    return parts
