"""What a connection's threads bring back to the event loop's thread, taken in in the order in which it was brought."""

from collections import deque
from collections.abc import Callable

Call = Callable[[], None]


class Brought:
    """Calls on their way to the loop's thread, where `post` has something run soon."""

    def __init__(self, post: Callable[[Call], None]) -> None:
        self._post = post
        self._calls: deque[Call] = deque()
        self._is_taking_in = False

    def __len__(self) -> int:
        """How many were not taken in yet."""
        return len(self._calls)

    def bring(self, call: Call) -> None:
        """Have a call made behind those that were brought before. From any thread."""
        self.hold(call)
        self.let_go()

    def hold(self, call: Call) -> None:
        """Bring a call that nobody is woken for: it is made with whatever is taken in next. From any thread."""
        self._calls.append(call)

    def let_go(self) -> None:
        """Have made soon what was held. From any thread."""
        if self._calls:
            self._post(self.take_in)

    def take_in(self) -> None:
        """Make all calls, before anything else that happens to the connection. On the loop's thread."""
        if self._is_taking_in:  # one of them has made something happen, whose turn comes behind it
            return
        self._is_taking_in = True
        try:
            while self._calls:
                self._calls.popleft()()
        finally:
            self._is_taking_in = False
