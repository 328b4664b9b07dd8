"""How far a long command has come, said on stderr by the clock."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from agent_runtime.commands.options import say

Clock = Callable[[], float]
SECONDS_BETWEEN_LINES = 10.0
# At a terminal, where one line is written over again and again.
_SECONDS_BETWEEN_LOOKS = 0.25


class Pace:
    """Lets something be said every so many seconds of a clock, from when it is made."""

    def __init__(self, seconds: float, clock: Clock = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._last = clock()

    def is_due(self) -> bool:
        """Whether so many seconds have gone by since this was last true."""
        now = self._clock()
        if now - self._last < self._seconds:
            return False
        self._last = now
        return True


class Progress:
    """What has been done so far, and for how many seconds: a line every ten seconds, at a terminal one that changes.

    Whoever does the work calls `tell` as often as they like. What is said does not wait for it: one forward may take
    longer than ten seconds.
    """

    def __init__(self, clock: Clock = time.monotonic, *, is_terminal: bool | None = None) -> None:
        self._is_terminal = sys.stderr.isatty() if is_terminal is None else is_terminal
        self._seconds = _SECONDS_BETWEEN_LOOKS if self._is_terminal else SECONDS_BETWEEN_LINES
        self._pace = Pace(self._seconds, clock)
        self._clock, self._started = clock, clock()
        self._done = ""

    def tell(self, done: str) -> None:
        """Take what has been done so far, in words."""
        self._done = done

    def look(self) -> None:
        """Say what has been done so far if it is time to."""
        if self._done and self._pace.is_due():
            line = f"{self._done}, {self._clock() - self._started:.0f} s so far"
            if self._is_terminal:
                print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
            else:
                say(line)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Look at the clock, beside what is done inside."""
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(min(1.0, self._seconds)):
                self.look()

        watcher = threading.Thread(target=watch, name="progress", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join()
            if self._is_terminal:
                print("\r\x1b[K", end="", file=sys.stderr, flush=True)
