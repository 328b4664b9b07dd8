"""The live end of one turn: what it sees, and where its next token goes."""

from collections.abc import Callable, Sequence
from typing import Literal

from agent_runtime.engine.pool import Pool
from agent_runtime.engine.runs import EMPTY_RUN, Run
from agent_runtime.engine.span import Placed, Span, View

# Tails are private and grow token by token; they take slots in pages of this many.
PAGE_TOKENS = 16


class Cursor:
    """A static view plus a private tail that grows with every kept span. Engine thread only; `release` ends it.

    `acquire` takes slots from the pool, and may make room first.
    """

    def __init__(self, pool: Pool, view: View, position: int, acquire: Callable[[int], Run] | None = None) -> None:
        self.pool = pool
        self._acquire = acquire or pool.acquire
        self.view = view
        self.position = position
        self._static = view
        self._tail = self._room = EMPTY_RUN

    def extend(self, ids: Sequence[int], wanted: Literal["none", "last"] = "last") -> Span:
        """Return a span of `ids` at the end, whose keys and values stay: what comes after it sees it."""
        count = len(ids)
        missing = count - self._room.length
        if missing > 0:
            self._room = self._room.followed_by(self._acquire(-(-missing // PAGE_TOKENS) * PAGE_TOKENS))
        run = self._room.part(0, count)
        self._room = self._room.part(count, self._room.length)
        span = Span(ids, self.position, self.view, keep=run, wanted=wanted)
        self.position += count
        self._tail = self._tail.followed_by(run)
        self.view = self._static.followed_by(Placed(self._tail, 0))
        return span

    def peek(self, ids: Sequence[int]) -> Span:
        """Return a span of `ids` at the end of which nothing is kept."""
        return Span(ids, self.position, self.view, wanted="last")

    def release(self) -> None:
        """Give all slots of the tail back."""
        for run in self.held():
            self.pool.release(run)
        self._tail = self._room = EMPTY_RUN

    def held(self) -> tuple[Run, ...]:
        """Return the runs that this cursor holds a reference of, for the pool's books."""
        return self._tail, self._room
