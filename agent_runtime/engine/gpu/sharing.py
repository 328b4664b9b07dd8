"""Blocks that several sessions of one forward see are read once for all of them.

Each session has a block at a place of its own. So it is not the keys that are moved: every row's query is turned back
by as much as its session has the block moved, block by block, and all rows meet the same keys.

Shapes: R rows that share, S sessions (groups of rows with the same view), U runs of slots that are shared.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy

from agent_runtime.engine.layout import Group
from agent_runtime.engine.pool import Run
from agent_runtime.engine.span import Placed, View

# Below this many keys that need not be read again, one kernel less is worth more.
_LEAST_SAVED = 256
# Where a session does not see a run.
NOT_SEEN = -1

# The slots of a run, and which of several like it in one view it is: blocks of the same text lie in the same slots.
_RunKey = tuple[tuple[tuple[int, int], ...], int]


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
        found = [
            (row, number)
            for number, group in enumerate(self.groups)
            for bundle in group.bundles
            for row in range(bundle.first, bundle.stop)
        ]
        return numpy.array(found, dtype=numpy.int64)


def shared_among(groups: Sequence[Group]) -> Sharing | None:
    """Return what groups share, None if it is too little."""
    seen: defaultdict[_RunKey, list[tuple[int, int]]] = defaultdict(list)
    for number, group in enumerate(groups):
        for key, piece in _keyed(group.view):
            seen[key].append((number, piece.shift))
    shared = {key: sights for key, sights in seen.items() if len(sights) > 1}
    saved = sum((len(sights) - 1) * sum(count for _, count in extents) for (extents, _), sights in shared.items())
    if saved < _LEAST_SAVED:
        return None
    members = sorted({number for sights in shared.values() for number, _ in sights})
    place = {number: at for at, number in enumerate(members)}
    shifts_US = numpy.full((len(shared), len(members)), NOT_SEEN, dtype=numpy.int64)
    for row, sights in zip(shifts_US, shared.values(), strict=True):
        for number, shift in sights:
            row[place[number]] = shift
    private = {
        id(groups[number]): View(tuple(piece for key, piece in _keyed(groups[number].view) if key not in shared))
        for number in members
    }
    runs = tuple(Run(extents, sum(count for _, count in extents)) for extents, _ in shared)
    return Sharing(tuple(groups[number] for number in members), runs, shifts_US, private)


def _keyed(view: View) -> Iterator[tuple[_RunKey, Placed]]:
    times: defaultdict[tuple[tuple[int, int], ...], int] = defaultdict(int)
    for piece in view.pieces:
        if piece.run.length:
            yield (piece.run.extents, times[piece.run.extents]), piece
            times[piece.run.extents] += 1
