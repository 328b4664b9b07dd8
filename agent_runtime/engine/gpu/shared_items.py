"""The items of what is read where it lies: tiles of rows of any sessions over runs that several of them see.

Shapes: R rows that share.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain

import numpy

from agent_runtime.engine.gpu.balance import cut, longest_unit
from agent_runtime.engine.gpu.forms import Form
from agent_runtime.engine.gpu.latest import Latest
from agent_runtime.engine.gpu.sharing import NOT_SEEN, shared_among
from agent_runtime.engine.gpu.work_list import ITEM_FIELDS, RUN_FIELDS, Shape
from agent_runtime.engine.span import View

_KIND = 2

# Some slots behind each other: the first, how many, and where it is said by how much each session has them moved.
Extent = tuple[int, int, int]


@dataclass(frozen=True, slots=True, eq=False)
class SharedCut:
    """How what sessions see together is cut: all of it that does not depend on which runs those are, or where.

    `rows` are those that share and the session of each, [R, 2]. `items` [items, fields] and what is merged of the rows,
    `merges` [R, 3], name parts that are numbered from 0 on; `lengths` are the items', in tiles of keys. `runs` begin so
    many slots behind the extent, of all of all runs, that `extents` says of each.
    """

    rows: numpy.ndarray
    items: numpy.ndarray
    lengths: numpy.ndarray
    merges: numpy.ndarray
    num_parts: int
    runs: numpy.ndarray
    extents: numpy.ndarray


@dataclass(frozen=True, slots=True)
class SharedItems:
    """What several sessions see together: everything that a forward's work list says of it.

    `runs` and `shifts` are as the list has them, int32. `private` is what else the groups that share see of what their
    views grew from, by their numbers.
    """

    cut: SharedCut
    runs: numpy.ndarray
    shifts: numpy.ndarray
    private: dict[int, View]


def shared_items(roots: Sequence[View], form: Form, shape: Shape, cuts: Latest[SharedCut]) -> SharedItems | None:
    """Return what the sessions of a forward share whose views grew from `roots`, None if that is nothing.

    `cuts` are those of other forwards.
    """
    sharing = shared_among(roots, form, shape)
    if sharing is None:
        return None
    shifts_US = sharing.shifts_US
    is_seen_US = shifts_US != NOT_SEEN
    lengths = tuple([tuple([length for _, length in run.extents]) for run in sharing.runs])
    found = cuts.of(
        (form, sharing.members, lengths, is_seen_US.tobytes()),
        lambda: _cut(sharing.rows(form), is_seen_US, lengths, shape),
    )
    runs = found.runs.copy()
    firsts = numpy.array([first for run in sharing.runs for first, _ in run.extents], dtype=numpy.int32)
    runs[:, 0] += firsts[found.extents]
    return SharedItems(found, runs.ravel(), shifts_US.ravel().astype(numpy.int32), sharing.private)


def _cut(rows: numpy.ndarray, is_seen_US: numpy.ndarray, lengths: Sequence[Sequence[int]], shape: Shape) -> SharedCut:
    """Cut what `rows` see of runs whose extents have these lengths."""
    rows_each, keys = shape.rows_each[_KIND], shape.tiling[_KIND].keys
    tiles = [rows[first : first + rows_each] for first in range(0, len(rows), rows_each)]
    seen = [is_seen_US[:, numpy.unique(tile[:, 1])].any(1) for tile in tiles]
    # Cut as if all extents lay one behind the other.
    starts = list(accumulate(chain.from_iterable(lengths), initial=0))
    behind = iter(starts)
    laid = [[(next(behind), length) for length in each] for each in lengths]
    extents = {
        some.tobytes(): [
            (first, length, number * is_seen_US.shape[1])
            for number in numpy.flatnonzero(some).tolist()
            for first, length in laid[number]
        ]
        for some in seen
    }
    num_tiles = {name: _num_tiles(some, keys) for name, some in extents.items()}
    unit = longest_unit((num_tiles[some.tobytes()] for some in seen), shape.num_groups, shape.num_programs(_KIND))
    cuts = {name: cut(count, unit) for name, count in num_tiles.items()}
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
    for at, (tile, of_tile) in enumerate(zip(tiles, seen, strict=True)):
        name = of_tile.tobytes()
        for number, (first_run, num_runs) in enumerate(parts[name]):
            part_at = num_parts + number * len(tile)
            length = cuts[name][number + 1] - cuts[name][number]
            items.append((number, length, (at * rows_each, len(tile), first_run, num_runs, part_at, 0, 0, 0)))
        merge = merges[at * rows_each : at * rows_each + len(tile)]
        merge[:, 0] = num_parts + numpy.arange(len(tile))
        merge[:, 1:] = len(parts[name]), len(tile)
        num_parts += len(parts[name]) * len(tile)
    items.sort(key=lambda item: item[0])  # those over the same keys beside each other
    within = numpy.array(runs, dtype=numpy.int32).reshape(-1, RUN_FIELDS)
    extent_of = numpy.searchsorted(starts[:-1], within[:, 0], side="right") - 1
    within[:, 0] -= numpy.array(starts)[extent_of]
    return SharedCut(
        rows,
        numpy.array([item for _, _, item in items], dtype=numpy.int64).reshape(-1, ITEM_FIELDS),
        numpy.array([length for _, length, _ in items], dtype=numpy.int64),
        merges,
        num_parts,
        within,
        extent_of,
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
