"""What can wait until nothing has to be sent: an answer's time is taken at once, what is made of it later."""

import asyncio
import time
from collections import deque
from collections.abc import Callable

# Longer than any piece of work takes, so that none makes a message late.
_ROOM_S = 0.0008
# So much may wait; then the oldest is done at once, for memory is not to grow with the load.
_MOST_WAITING = 256


class SpareTime:
    """Does pieces of work in their order, one between two looks at the sockets, while no message is due.

    `expect` says when somebody will send next; until it is said again, that moment is not passed over.
    """

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], object]] = deque()
        self._due: dict[object, float] = {}
        self._next: asyncio.Handle | None = None

    def expect(self, who: object, due: float | None) -> None:
        """Somebody sends at `due` (`time.perf_counter()`), or, with None, when an answer has come."""
        if due is None:
            self._due.pop(who, None)
        else:
            self._due[who] = due

    def put(self, work: Callable[[], object]) -> None:
        """Have something done when there is time."""
        self._waiting.append(work)
        if len(self._waiting) > _MOST_WAITING:
            self._waiting.popleft()()
        if self._next is None:
            self._next = asyncio.get_running_loop().call_soon(self._work)

    def finish(self) -> None:
        """Do all that waits."""
        if self._next is not None:
            self._next.cancel()
            self._next = None
        while self._waiting:
            self._waiting.popleft()()

    def _work(self) -> None:
        self._next = None
        if not self._waiting:
            return
        loop, left_s = asyncio.get_running_loop(), min(self._due.values(), default=float("inf")) - time.perf_counter()
        if left_s > _ROOM_S:
            self._next = loop.call_soon(self._work)
            self._waiting.popleft()()
        else:  # it is sent first
            self._next = loop.call_later(max(left_s, 0.0) + _ROOM_S / 4, self._work)
