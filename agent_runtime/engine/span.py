"""Views and spans: what a piece of work sees, and what it computes.

A view is everything static that a span attends to: runs of resident tokens, each moved from its local positions to its
place in this prompt. A span is some new tokens behind a view. Encoding a block is a span with an empty view (or its
anchor's); an observation is a span that sees all its blocks; each listed action is a span whose parent is the
observation; a decoded token is a span of length 1.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import accumulate, chain, pairwise
from operator import add, attrgetter
from typing import Literal, NamedTuple

import numpy

from agent_runtime.engine.positions import Positions
from agent_runtime.engine.runs import Run, stretched

_length_of, _extents_of = attrgetter("length"), attrgetter("extents")


class Placed(NamedTuple):
    """A run as one prompt sees it: its keys, stored at local positions, move by `shift` (place minus local start)."""

    run: Run
    shift: int


# One of a pair: `Placed` takes twice as long, `Placed._make` nearly so, and worlds of hundreds of blocks change.
_placed: Callable[[tuple[Run, int]], Placed] = partial(tuple.__new__, Placed)


@dataclass(frozen=True)
class View:
    """An ordered list of placed runs. Spans with the same view (the same object) are attended together.

    `end` is the position behind all of them, where that is not the number of tokens seen; views of blocks say it.
    `stem` is the view that this one has grown from, None for one that was made at once. In `tiles` there is room for
    its keys cut into tiles, by the keys of a tile; the engine's thread fills it.
    """

    pieces: tuple[Placed, ...]
    end: int | None = None
    stem: "View | None" = field(default=None, compare=False, repr=False)
    tiles: dict[int, numpy.ndarray] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def length(self) -> int:
        """Return the number of tokens seen."""
        if self.stem is None:
            return int(self.lengths.sum())
        return self.stem.length + sum([run.length for run, _ in self.tail])

    def followed_by(self, piece: Placed) -> "View":
        """Return this view with one more run behind it. What was found out about this one is not found out again."""
        return View((*self.pieces, piece), stem=self.root)

    @property
    def root(self) -> "View":
        """Return what it was before it grew, itself if it has not: what is found out about that stays true."""
        return self if self.stem is None else self.stem

    @property
    def tail(self) -> tuple[Placed, ...]:
        """Return what it has grown by, or all there is."""
        return self.pieces if self.stem is None else self.pieces[len(self.stem.pieces) :]

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
        return stretched(firsts, lengths)

    @cached_property
    def shifts(self) -> numpy.ndarray:
        """Return by how many positions every token's key is moved, int64 [length]."""
        _, lengths, shifts = self.extents.T
        return numpy.repeat(shifts, lengths)

    @cached_property
    def lengths(self) -> numpy.ndarray:
        """Return the number of tokens of every piece, int64 [pieces]."""
        return numpy.array([run.length for run, _ in self.pieces], dtype=numpy.int64)

    @cached_property
    def table(self) -> numpy.ndarray:
        """Return which run (the object) every piece is, its length, and by how much it is moved, int64 [pieces, 3]."""
        runs, shifts = _columns(self.pieces)
        return numpy.stack((numpy.array(list(map(id, runs))), self.lengths, numpy.array(shifts)), 1).astype(numpy.int64)

    @cached_property
    def extents(self) -> numpy.ndarray:
        """Return first slot, length and shift of all that lies together and is moved alike, int64 [extents, 3]."""
        found = extents_of(self.tail)
        return found if self.stem is None else numpy.concatenate((self.stem.extents, found))


def extents_of(pieces: Sequence[Placed]) -> numpy.ndarray:
    """Return first slot, length and shift of all that lies together and is moved alike, int64 [extents, 3]."""
    runs, shifts = _columns(pieces)
    extents = list(map(_extents_of, runs))
    counts = list(map(len, extents))
    found = numpy.empty((sum(counts), 3), dtype=numpy.int64)
    words = chain.from_iterable(chain.from_iterable(extents))
    found[:, :2] = numpy.fromiter(words, numpy.int64, 2 * len(found)).reshape(-1, 2)
    found[:, 2] = shifts if counts.count(1) == len(counts) else numpy.repeat(numpy.array(shifts), counts)
    return found


def _columns(pieces: Sequence[Placed]) -> tuple[Sequence[Run], Sequence[int]]:
    runs, shifts = zip(*pieces, strict=True) if pieces else ((), ())
    return runs, shifts


NOTHING = View(())


def view_of_blocks(runs: Sequence[Run], *, anchored: bool, positions: Positions = Positions.SEQUENTIAL) -> View:
    """Return the view of blocks, the anchor first; each moves from its local start to its place.

    The local start is 0, or if `anchored`, for all but the anchor, directly behind it: those blocks see it.
    """
    lengths = list(map(_length_of, runs))
    start = lengths[0] if anchored and runs else 0
    if positions is Positions.SEQUENTIAL:
        *places, end = accumulate(lengths, initial=0)
    else:
        places = [0, *[lengths[0]] * (len(runs) - 1)] if runs else []
        end = max(map(add, places, lengths), default=0)
    shifts = [*places[:1], *[place - start for place in places[1:]]] if start else places
    view = View(tuple(map(_placed, zip(runs, shifts, strict=True))), end)
    # Which are found out already.
    vars(view).update(lengths=numpy.array(lengths, dtype=numpy.int64), length=sum(lengths))
    return view


def exchanged(view: View, runs: Mapping[int, Run], positions: Positions) -> View | None:
    """Return a view of blocks, made at once, with other runs at some places, at the cost of what moves by it.

    Behind a run of another length all move. None where more would change: with an anchor of another length, and where
    blocks stand side by side and the longest of them says how far.
    """
    pieces, lengths, moved = list(view.pieces), view.lengths.copy(), 0
    known: numpy.ndarray | None = vars(view).get("extents")
    # As many extents as pieces, of which none is empty: each piece has one.
    extents = None
    if known is not None and len(known) == len(pieces) == numpy.count_nonzero(lengths):
        extents = known.copy()
    places = sorted(runs)
    # From place to place, each piece is looked at once: all may have changed.
    for place, following in pairwise((*places, len(pieces))):
        run, (before, shift) = runs[place], pieces[place]
        by = run.length - before.length
        if by and (place == 0 or positions is not Positions.SEQUENTIAL):
            return None
        pieces[place] = Placed(run, shift + moved)
        lengths[place] = run.length
        if extents is not None and len(run.extents) == 1:
            extents[place] = *run.extents[0], shift + moved
        else:
            extents = None
        moved += by
        if moved:
            if extents is not None:
                extents[place + 1 : following, 2] += moved
            behind = pieces[place + 1 : following]
            pieces[place + 1 : following] = [_placed((each, so_far + moved)) for each, so_far in behind]
    made = View(tuple(pieces), view.behind + moved)
    vars(made).update(lengths=lengths, length=view.length + moved)
    if extents is not None:
        vars(made)["extents"] = extents
    return made


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
