"""Views and spans: what a piece of work sees, and what it computes.

A view is everything static that a span attends to: runs of resident tokens, each moved from its local positions to its
place in this prompt. A span is some new tokens behind a view. Encoding a block is a span with an empty view (or its
anchor's); an observation is a span that sees all its blocks; each listed action is a span whose parent is the
observation; a decoded token is a span of length 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy

from agent_runtime.engine.pool import Run
from agent_runtime.engine.positions import Positions


class Placed(NamedTuple):
    """A run as one prompt sees it: its keys, stored at local positions, move by `shift` (place minus local start)."""

    run: Run
    shift: int


@dataclass(frozen=True)
class View:
    """An ordered list of placed runs. Spans with the same view (the same object) are attended together.

    `end` is the position behind all of them, where that is not the number of tokens seen; views of blocks say it.
    """

    pieces: tuple[Placed, ...]
    end: int | None = None

    @cached_property
    def length(self) -> int:
        """Return the number of tokens seen."""
        return sum(piece.run.length for piece in self.pieces)

    def followed_by(self, piece: Placed) -> "View":
        """Return this view with one more run behind it. What was found out about this one is not found out again."""
        view = View((*self.pieces, piece))
        row = numpy.array([(id(piece.run), piece.run.length, piece.shift)], dtype=numpy.int64)
        extents = numpy.array([(*extent, piece.shift) for extent in piece.run.extents], dtype=numpy.int64).reshape(
            -1, 3
        )
        view.__dict__["table"] = numpy.concatenate((self.table, row))
        view.__dict__["extents"] = numpy.concatenate((self.extents, extents))
        return view

    @property
    def behind(self) -> int:
        """Return the position of a token that follows what is seen."""
        return self.length if self.end is None else self.end

    @property
    def is_of_blocks(self) -> bool:
        """Whether it shows blocks alone, as it will be asked for again."""
        return self.end is not None

    @cached_property
    def slots(self) -> numpy.ndarray:
        """Return the slot of every token seen, int64 [length]."""
        firsts, lengths, _ = self.extents.T
        ends = numpy.cumsum(lengths)
        return numpy.repeat(firsts - (ends - lengths), lengths) + numpy.arange(self.length, dtype=numpy.int64)

    @cached_property
    def shifts(self) -> numpy.ndarray:
        """Return by how many positions every token's key is moved, int64 [length]."""
        _, lengths, shifts = self.extents.T
        return numpy.repeat(shifts, lengths)

    @cached_property
    def table(self) -> numpy.ndarray:
        """Return which run (the object) every piece is, its length, and by how much it is moved, int64 [pieces, 3]."""
        rows = [(id(piece.run), piece.run.length, piece.shift) for piece in self.pieces]
        return numpy.array(rows, dtype=numpy.int64).reshape(-1, 3)

    @cached_property
    def extents(self) -> numpy.ndarray:
        """Return first slot, length and shift of all that lies together and is moved alike, int64 [extents, 3]."""
        table = [(first, count, piece.shift) for piece in self.pieces for first, count in piece.run.extents]
        return numpy.array(table, dtype=numpy.int64).reshape(-1, 3)


NOTHING = View(())


def view_of_blocks(runs: Sequence[Run], *, anchored: bool, positions: Positions = Positions.SEQUENTIAL) -> View:
    """Return the view of blocks, the anchor first; each moves from its local start to its place.

    The local start is 0, or if `anchored`, for all but the anchor, directly behind it: those blocks see it.
    """
    start = runs[0].length if anchored and runs else 0
    pieces, place, end = [], 0, 0
    for index, run in enumerate(runs):
        pieces.append(Placed(run, place - (start if index else 0)))
        end = max(end, place + run.length)
        place = end if positions is Positions.SEQUENTIAL else runs[0].length
    return View(tuple(pieces), end)


@dataclass(eq=False, slots=True)
class Span:
    """Some tokens to compute behind a view.

    `start` is the local position of the first token. A span sees its view, its ancestors (`parent`, same view, earlier
    in the same forward) and itself causally. `keep`: slots, one a token, that receive its keys and values. `wanted`:
    the rows whose logits are returned.
    """

    ids: Sequence[int]
    start: int
    view: View
    parent: "Span | None" = None
    keep: Run | None = None
    wanted: Literal["none", "last", "all"] = "none"
