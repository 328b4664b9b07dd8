"""Runs of slots that are read where they lie, once for all sessions of a forward that see them.

Each session has a block at a place of its own. So it is not the keys that are moved: every row's query is turned back
by as much as its session has the block moved, block by block, and all rows meet the same keys. For a long run that is
less work even if one session alone sees it; short ones leave tiles half empty, and queries are turned for few keys.

Shapes: R rows that share, S sessions (groups of rows with the same view), U runs of slots, first all that are seen,
then those that are shared.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy

from agent_runtime.engine.gpu.forms import Form
from agent_runtime.engine.gpu.work_list import Shape
from agent_runtime.engine.runs import Run, stretched
from agent_runtime.engine.span import NOTHING, Placed, View

# What turning a tile of queries costs, beside a tile of keys that are not moved.
_TURNING = 0.5
# Tiles of keys that have to be saved, or one kernel less is worth more.
_LEAST_SAVED = 64
# Where a session does not see a run.
NOT_SEEN = -1


@dataclass(frozen=True, slots=True)
class Sharing:
    """Who shares what: runs, by how much each session has each of them moved, and what else each session sees.

    `members` are the sessions' numbers among all groups.
    """

    members: tuple[int, ...]
    runs: tuple[Run, ...]
    shifts_US: numpy.ndarray
    private: dict[int, View]

    def rows(self, form: Form) -> numpy.ndarray:
        """Return the rows that share and the number of the session of each, [R, 2]."""
        number_of = numpy.full(form.num_groups, -1)
        number_of[list(self.members)] = range(len(self.members))
        session_B = number_of[form.group_B]
        of_members = session_B >= 0
        counts = form.rows_B[of_members]
        rows = stretched(form.first_B[of_members], counts)
        return numpy.stack((rows, numpy.repeat(session_B[of_members], counts)), 1)


def may_share(roots: Sequence[View], form: Form) -> bool:
    """Return whether `shared_among` might find anything. It takes no look at the blocks, so no swapped one costs time.

    A group that alone sees blocks turns its queries for at least as many tiles of keys as these have: it gains only
    where its rows would else meet each of them in more tiles of rows.
    """
    seeing = [number for number, view in enumerate(roots) if view.pieces]
    if len(seeing) != 1:
        return bool(seeing)
    return form.may_gain_G[seeing[0]]


def shared_among(roots: Sequence[View], form: Form, shape: Shape) -> Sharing | None:
    """Return what is to be read where it lies, None if that saves too little.

    `roots` are what the groups' views have grown from: what one has grown by is a session's own. A run counts once for
    each group: where a block stands twice in one prompt, the second is seen alone.
    """
    alone_G, rows_G = form.costs_G, form.rows_G
    seeing = [number for number, view in enumerate(roots) if view.pieces]
    if len(seeing) > 1:
        return _among_many(roots, alone_G, rows_G, shape)
    return _of_one(seeing[0], roots[seeing[0]], alone_G, rows_G, shape) if seeing else None


def _of_one(group: int, view: View, alone_G: numpy.ndarray, rows_G: numpy.ndarray, shape: Shape) -> Sharing | None:
    """Return what `_among_many` does where a single group sees anything, without looking for it in others."""
    saved = _saved(view.lengths, alone_G[group], rows_G[group], shape)
    if saved[saved > 0].sum() < _LEAST_SAVED:
        return None
    shared: dict[int, Placed] = {}
    alone: list[Placed] = []
    total = 0.0
    for piece, gain in zip(view.pieces, saved.tolist(), strict=True):
        if piece.shift < 0:
            return None
        if gain > 0 and id(piece.run) not in shared:
            shared[id(piece.run)] = piece
            total += gain
        else:
            alone.append(piece)
    if total < _LEAST_SAVED:
        return None
    return Sharing(
        (group,),
        tuple([run for run, _ in shared.values()]),
        numpy.array([[shift] for _, shift in shared.values()], dtype=numpy.int64),
        {group: View(tuple(alone)) if alone else NOTHING},
    )


def _among_many(views: Sequence[View], alone_G: numpy.ndarray, rows_G: numpy.ndarray, shape: Shape) -> Sharing | None:
    """Return what is to be read where it lies, whoever sees it."""
    tables = [view.table for view in views]
    number = numpy.repeat(numpy.arange(len(views)), [len(table) for table in tables])
    whole = numpy.concatenate(tables)
    if (whole[:, 2] < 0).any():  # that is how sessions say that they do not see a run
        return None
    ids, place_U, run_of = numpy.unique(whole[:, 0], return_index=True, return_inverse=True)
    _, firsts = numpy.unique(number * max(len(ids), 1) + run_of, return_index=True)
    group, run = number[firsts], run_of[firsts]
    alone_U, rows_U = (numpy.bincount(run, each[group]) for each in (alone_G, rows_G))
    saved_U = _saved(whole[place_U, 1], alone_U, rows_U, shape)
    if saved_U[saved_U > 0].sum() < _LEAST_SAVED:
        return None
    runs = numpy.flatnonzero(saved_U > 0)
    runs = runs[numpy.argsort(place_U[runs])]  # as prompts have them, not as memory does: sums depend on it
    shared = firsts[saved_U[run] > 0]
    members = numpy.flatnonzero(numpy.bincount(number[shared]))
    shifts_US = numpy.full((len(runs), len(members)), NOT_SEEN, dtype=numpy.int64)
    row_of, session_of = numpy.empty(len(ids), dtype=numpy.int64), numpy.empty(len(views), dtype=numpy.int64)
    row_of[runs], session_of[members] = numpy.arange(len(runs)), numpy.arange(len(members))
    shifts_US[row_of[run_of[shared]], session_of[number[shared]]] = whole[shared, 2]
    begins = numpy.cumsum([0, *map(len, tables)])

    def piece_at(place: int) -> Placed:
        group = int(number[place])
        return views[group].pieces[place - int(begins[group])]

    alone = numpy.ones(len(whole), dtype=bool)
    alone[shared] = False

    def private_of(member: int) -> View:
        left = begins[member] + numpy.flatnonzero(alone[begins[member] : begins[member + 1]])
        return View(tuple(map(piece_at, left.tolist()))) if left.size else NOTHING

    return Sharing(
        tuple(members.tolist()),
        tuple(piece_at(place).run for place in place_U[runs].tolist()),
        shifts_US,
        {member: private_of(member) for member in members.tolist()},
    )


def _saved(lengths: numpy.ndarray, alone: numpy.ndarray, rows: numpy.ndarray, shape: Shape) -> numpy.ndarray:
    """Return what is saved of runs of some lengths: what those who see each of them cost `alone`, and their `rows`."""
    keys = shape.tiling.shared.keys
    found: numpy.ndarray = alone * lengths / keys - shape.shared_tiles(rows) * (-(-lengths // keys) + _TURNING)
    return found
