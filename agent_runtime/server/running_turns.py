"""The turns under way in the whole server. They belong to no connection: a cut one leaves them running, and the next
connection that sends the same turn shares the result.

Used on the event loop's thread only, except for what is said to be callable from any thread.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Protocol

from agent_runtime.errors import HotseatError, Overloaded, StaleTurn
from agent_runtime.server.runtime import AskTurn, CloseMatch, CloseSession, PendingTurn
from agent_runtime.turn import Outcome, Partial, TurnResult

# Results that differ from what the runtime stored (timeouts) are remembered for this many turns of the whole server.
SETTLED_KEPT = 4096


class Listener(Protocol):
    """A connection that waits for a turn."""

    def partial(self, piece: Partial) -> None:
        """Free text came."""

    def result(self, result: TurnResult) -> None:
        """The turn is decided."""

    def refused(self, error: HotseatError) -> None:
        """The turn was not begun."""


class RunningTurn:
    """A turn under way, whoever listens."""

    def __init__(self, ask: AskTurn, match: str) -> None:
        self.ask = ask
        self.match = match
        self.listeners: list[Listener] = []
        self._lock = threading.Lock()
        self._pending: PendingTurn | None = None
        self._is_cancelled = False

    @property
    def key(self) -> tuple[str, int]:
        """Session and turn_id."""
        return self.ask.request.session, self.ask.request.turn_id

    @property
    def is_cancelled(self) -> bool:
        """True after cancel: a turn that was not begun need not be. From any thread."""
        return self._is_cancelled

    def begun(self, pending: PendingTurn) -> None:
        """The runtime has taken the turn. From any thread."""
        with self._lock:
            self._pending = pending
        if self._is_cancelled:  # cancel came first and found nothing to cancel
            pending.cancel()

    def cancel(self) -> None:
        """Stop deciding. From any thread."""
        with self._lock:
            self._is_cancelled = True
            pending = self._pending
        if pending is not None:
            pending.cancel()

    def partial(self, piece: Partial) -> None:
        """Pass on a piece of free text."""
        for listener in list(self.listeners):
            listener.partial(piece)


class RunningTurns:
    """All turns under way, and the recent ones that were settled as something else than the runtime knows."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._running: dict[tuple[str, int], RunningTurn] = {}
        self._settled: OrderedDict[tuple[str, int], tuple[RunningTurn, TurnResult]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._running)

    def __iter__(self) -> Iterator[RunningTurn]:
        return iter(list(self._running.values()))

    def ask(self, ask: AskTurn, match: str, listener: Listener) -> RunningTurn | None:
        """A new turn to begin, or None: the listener then shares one under way, or has its result already.

        Raises StaleTurn when the turn_id stands for another body, and Overloaded when too many are under way.
        """
        key = ask.request.session, ask.request.turn_id
        known = self._running.get(key)
        if known is not None:
            self._need_equal(ask, known.ask.body_digest)
            known.listeners.append(listener)
            return None
        if (settled := self._settled.get(key)) is not None:
            self._need_equal(ask, settled[0].ask.body_digest)
            listener.result(settled[1])
            return None
        if len(self._running) >= self._limit:
            raise Overloaded(f"{len(self._running)} turns are under way. Wait a moment, then send this one again.")
        turn = self._running[key] = RunningTurn(ask, match)
        turn.listeners.append(listener)
        return turn

    def find(self, session: str, turn_id: int) -> RunningTurn | None:
        """The turn of that name, if it is under way."""
        return self._running.get((session, turn_id))

    def settle(self, turn: RunningTurn, result: TurnResult) -> None:
        """Give a turn its result for good: the runtime is stopped, and what it still brings goes to nobody."""
        turn.cancel()
        self._settled[turn.key] = turn, result
        while len(self._settled) > SETTLED_KEPT:
            self._settled.popitem(last=False)
        self.finish(turn, result)

    def finish(self, turn: RunningTurn, result: TurnResult) -> None:
        """The turn is decided. Does nothing if it had been settled before."""
        if self._running.get(turn.key) is turn:
            del self._running[turn.key]
            for listener in turn.listeners:
                listener.result(result)

    def forget(self, closed: CloseSession | CloseMatch) -> None:
        """A session or match is over: its turns are cancelled, and its turn_ids may be used anew."""

        def is_of_it(turn: RunningTurn) -> bool:
            return turn.match == closed.match if isinstance(closed, CloseMatch) else turn.key[0] == closed.session

        for key in [key for key, (turn, _) in self._settled.items() if is_of_it(turn)]:
            del self._settled[key]
        for turn in [each for each in self if is_of_it(each)]:
            turn.cancel()
            self.finish(turn, TurnResult(*turn.key, Outcome.CANCELLED, message="The session was closed."))

    def refuse(self, turn: RunningTurn, error: HotseatError) -> None:
        """The runtime did not take the turn."""
        if self._running.get(turn.key) is turn:
            del self._running[turn.key]
            for listener in turn.listeners:
                listener.refused(error)

    def _need_equal(self, ask: AskTurn, body_digest: str) -> None:
        if ask.body_digest != body_digest:
            raise StaleTurn(ask.request.session, ask.request.turn_id, ask.request.turn_id)
