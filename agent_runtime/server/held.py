"""Answers that are held back while a turn behind them gets to its device."""

import threading
from collections import deque
from collections.abc import Callable


class Held:
    """What one connection holds back, in its order. From any thread."""

    def __init__(self) -> None:
        self._posts: deque[Callable[[], None]] = deque()
        self._lock = threading.Lock()

    def hold(self, post: Callable[[], None]) -> None:
        """Hold one answer back; `post` sends it on its way."""
        self._posts.append(post)

    def let_go(self) -> None:
        """Post all that is held back. Does nothing if nothing is."""
        if self._posts:
            with self._lock:  # or two threads could post one's answer before the other's earlier one
                while self._posts:
                    self._posts.popleft()()
