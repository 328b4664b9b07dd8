"""What a connection's threads bring back to the event loop's thread, taken in in the order in which it was brought."""

import logging
from collections import deque
from collections.abc import Callable

from agent_runtime.server.shared import Shared

log = logging.getLogger(__name__)

# Called with the time of the loop at which it was brought.
Call = Callable[[float], None]


class Brought:
    """Calls on their way to the loop's thread."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._calls: deque[tuple[Call, float]] = deque()
        self._is_taking_in = False

    def __len__(self) -> int:
        """How many were not taken in yet."""
        return len(self._calls)

    def bring(self, call: Call) -> None:
        """Have a call made behind those that were brought before. From any thread."""
        self.hold(call)
        self._shared.post(self.take_in)

    def hold(self, call: Call) -> None:
        """Bring a call that nobody is woken for: it is made with whatever is taken in next. From any thread."""
        self._calls.append((call, self._shared.loop.time()))

    def take_in(self) -> None:
        """Make all calls, before anything else that happens to the connection. On the loop's thread."""
        if self._is_taking_in:  # one of them has made something happen, whose turn comes behind it
            return
        self._is_taking_in = True
        try:
            while self._calls:
                self._make(*self._calls.popleft())
        finally:
            self._is_taking_in = False

    @staticmethod
    def _make(call: Call, at: float) -> None:
        try:
            call(at)
        except Exception:  # what comes behind it, and whoever takes it in, has nothing to do with it
            log.exception("an answer could not be given")
