"""The items of what is read where it lies: tiles of rows of any sessions over runs that several of them see.

Shapes: R rows that share.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from weakref import ref

import numpy

from agent_runtime.engine.gpu.balance import cut, longest_unit
from agent_runtime.engine.gpu.bundles import Bundles
from agent_runtime.engine.gpu.sharing import NOT_SEEN, Sharing, shared_among
from agent_runtime.engine.gpu.work_list import ITEM_FIELDS, Shape
from agent_runtime.engine.span import View

_KIND = 2
# How many forwards' shared items are kept: 64 sessions over 300 blocks take 165 kB each time.
_MOST_KEPT = 16

# Some slots behind each other: the first, how many, and where it is said by how much each session has them moved.
Extent = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class SharedItems:
    """What several sessions see together: everything that a forward's work list says of it.

    `items` [items, fields] and what is merged of the listed rows, `merges` [R, 3], name parts that are numbered from 0
    on; `lengths` are the items', in tiles of keys. `private` is what else the groups that share see of what their views
    grew from, by their numbers.
    """

    rows: numpy.ndarray
    shifts: numpy.ndarray
    runs: numpy.ndarray
    items: numpy.ndarray
    lengths: numpy.ndarray
    merges: numpy.ndarray
    num_parts: int
    private: dict[int, View]

    def items_from(self, first_part: int) -> numpy.ndarray:
        """Return the items, whose parts are numbered from `first_part` on."""
        items = self.items.copy()
        items[:, 4] += first_part
        return items

    def merge_from(self, first_part: int, merges: numpy.ndarray) -> None:
        """Write what is merged of all rows of a forward, [rows, fields]."""
        at = self.rows[:, 0]
        merges[at, 3:6] = self.merges
        merges[at, 3] += first_part


class Remembered:
    """Shared items of the last forwards: a decode step shares what the one before it did.

    They are known by the views that the forward's views have grown from, and go as soon as one of those goes.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[object, tuple[Shape, list[ref[View]], SharedItems | None]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def of(self, bundles: Bundles, shape: Shape) -> SharedItems | None:
        """Return what the sessions of a forward share, None if that is nothing."""
        name = (id(shape), bundles.name)
        if name in self._kept:
            self._kept.move_to_end(name)
            return self._kept[name][-1]
        items = shared_items(bundles, shape)
        kept = self._kept

        def forget(_: "ref[View]") -> None:
            kept.pop(name, None)

        self._kept[name] = (shape, [ref(view.root, forget) for view in bundles.views], items)
        if len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)
        return items


def shared_items(bundles: Bundles, shape: Shape) -> SharedItems | None:
    """Return what the sessions of a forward share, None if that is nothing."""
    sharing = shared_among(bundles, shape)
    return None if sharing is None else _written(sharing, bundles, shape)


def _written(sharing: Sharing, bundles: Bundles, shape: Shape) -> SharedItems:
    rows, shifts_US = sharing.rows(bundles), sharing.shifts_US
    rows_each, keys = shape.rows_each[_KIND], shape.tiling[_KIND].keys
    tiles = [rows[first : first + rows_each] for first in range(0, len(rows), rows_each)]
    seen = [(shifts_US[:, numpy.unique(tile[:, 1])] != NOT_SEEN).any(1) for tile in tiles]
    extents = {
        some.tobytes(): [
            (first, length, number * shifts_US.shape[1])
            for number in numpy.flatnonzero(some).tolist()
            for first, length in sharing.runs[number].extents
        ]
        for some in seen
    }
    lengths = {name: _num_tiles(some, keys) for name, some in extents.items()}
    unit = longest_unit((lengths[some.tobytes()] for some in seen), shape.num_groups, shape.num_programs(_KIND))
    cuts = {name: cut(length, unit) for name, length in lengths.items()}
    runs: list[Extent] = []
    parts: dict[bytes, list[tuple[int, int]]] = {}
    for name, some in extents.items():
        parts[name] = []
        for part in _in_parts(some, cuts[name], keys):
            parts[name].append((len(runs), len(part)))
            runs.extend(part)
    items: list[tuple[int, int, tuple[int, ...]]] = []
    merges = numpy.empty((len(rows), 3), dtype=numpy.int64)
    num_parts = 0
    for at, (tile, some) in enumerate(zip(tiles, seen, strict=True)):
        name = some.tobytes()
        for number, (first_run, num_runs) in enumerate(parts[name]):
            part_at = num_parts + number * len(tile)
            length = cuts[name][number + 1] - cuts[name][number]
            items.append((number, length, (at * rows_each, len(tile), first_run, num_runs, part_at, 0, 0, 0)))
        merge = merges[at * rows_each : at * rows_each + len(tile)]
        merge[:, 0] = num_parts + numpy.arange(len(tile))
        merge[:, 1:] = len(parts[name]), len(tile)
        num_parts += len(parts[name]) * len(tile)
    items.sort(key=lambda item: item[0])  # those over the same keys beside each other
    return SharedItems(
        rows,
        shifts_US.ravel(),
        numpy.array(runs, dtype=numpy.int64).ravel(),
        numpy.array([item for _, _, item in items], dtype=numpy.int64).reshape(-1, ITEM_FIELDS),
        numpy.array([length for _, length, _ in items], dtype=numpy.int64),
        merges,
        num_parts,
        sharing.private,
    )


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
