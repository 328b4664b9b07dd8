"""Blocks that several sessions of one forward see are read once for all of them.

Each session has a block at a place of its own. So it is not the keys that are moved: every row's query is turned back
by as much as its session has the block moved, block by block, and all rows meet the same keys.

Shapes: R rows that share, S sessions (groups of rows with the same view), U runs of slots that are shared.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy

from agent_runtime.engine.layout import Group
from agent_runtime.engine.pool import Run
from agent_runtime.engine.span import Placed, View

# Below this many keys that need not be read again, one kernel less is worth more.
_LEAST_SAVED = 256
# Where a session does not see a run.
NOT_SEEN = -1


@dataclass(frozen=True, slots=True)
class Sharing:
    """Who shares what: runs, by how much each session has each of them moved, and what else each session sees."""

    groups: tuple[Group, ...]
    runs: tuple[Run, ...]
    shifts_US: numpy.ndarray
    private: dict[int, View]

    def view_of(self, group: Group) -> View:
        """Return what a group sees alone."""
        return self.private.get(id(group), group.view)

    def rows(self) -> numpy.ndarray:
        """Return the rows that share and the number of the session of each, [R, 2]."""
        parts = [
            numpy.stack((numpy.arange(bundle.first, bundle.stop), numpy.full(bundle.num_rows, number)), 1)
            for number, group in enumerate(self.groups)
            for bundle in group.bundles
        ]
        return numpy.concatenate(parts)


def shared_among(groups: Sequence[Group]) -> Sharing | None:
    """Return what groups share, None if it is too little.

    A run counts once for each group: where a block stands twice in one prompt, the second is seen alone.
    """
    if len(groups) < 2:
        return None
    tables = [group.view.table for group in groups]
    number = numpy.repeat(numpy.arange(len(groups)), [len(table) for table in tables])
    whole = numpy.concatenate(tables)
    ids, run_of = numpy.unique(whole[:, 0], return_inverse=True)
    _, firsts = numpy.unique(number * max(len(ids), 1) + run_of, return_index=True)
    firsts = firsts[whole[firsts, 1] > 0]
    _, example, run, times = numpy.unique(run_of[firsts], return_index=True, return_inverse=True, return_counts=True)
    saved = int(((times - 1) * whole[firsts[example], 1]).sum())
    if saved < _LEAST_SAVED:
        return None
    is_shared = times[run] > 1
    shared = firsts[is_shared]
    members, session = numpy.unique(number[shared], return_inverse=True)
    runs, row = numpy.unique(run[is_shared], return_inverse=True)
    shifts_US = numpy.full((len(runs), len(members)), NOT_SEEN, dtype=numpy.int64)
    shifts_US[row, session] = whole[shared, 2]
    begins = numpy.cumsum([0, *map(len, tables)])

    def piece_at(place: int) -> Placed:
        group = int(number[place])
        return groups[group].view.pieces[place - int(begins[group])]

    alone = numpy.ones(len(whole), dtype=bool)
    alone[shared] = False
    private = {
        id(groups[member]): View(
            tuple(
                piece_at(place)
                for place in (begins[member] + numpy.flatnonzero(alone[begins[member] : begins[member + 1]]))
            )
        )
        for member in members.tolist()
    }
    return Sharing(
        tuple(groups[member] for member in members.tolist()),
        tuple(piece_at(place).run for place in firsts[example[runs]].tolist()),
        shifts_US,
        private,
    )
