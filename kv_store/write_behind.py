"""One thread that makes queued operations durable, in order, in batches, and never gives up on them.

It knows nothing of packs or SQL: `take` says how much of the queue makes one batch, `perform` writes it (and may
raise: the same batch is tried again after a growing pause), `settle` and `tidy` are what it does when a batch is
durable and when the queue is empty. The queue's owner and this thread share one lock.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

Operation = TypeVar("Operation")
_GRACE_S = 1.0  # for the attempt in progress when the time to drain is over
_log = logging.getLogger(__name__)


class WriteBehind(Generic[Operation]):
    """A queue of operations and the thread that performs them. `lock` is the owner's; `submit` wants it held."""

    def __init__(
        self,
        lock: threading.Condition,
        *,
        take: Callable[[deque[Operation]], list[Operation]],
        is_full: Callable[[deque[Operation]], bool],
        perform: Callable[[list[Operation]], None],
        tidy: Callable[[bool], None],
        finish: Callable[[], None],
        linger_s: float,
        retry_first_s: float,
        retry_most_s: float,
    ) -> None:
        self._lock = lock
        self._take, self._is_full, self._perform, self._tidy, self._finish = take, is_full, perform, tidy, finish
        self._linger_s, self._retry_first_s, self._retry_most_s = linger_s, retry_first_s, retry_most_s
        self._queue: deque[Operation] = deque()
        self._batch: list[Operation] = []
        self._submitted = 0
        self._done = 0
        self._attempts = 0  # started
        self._failed_attempt = 0  # the last one that failed
        self._failure: Exception | None = None
        self._failures_in_a_row = 0
        self._wanted_attempt = 0  # up to this one, attempts follow each other without a pause
        self._waiting = 0  # flushes in progress: no lingering
        self._stop_at: float | None = None
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="kv-store-writer", daemon=True)

    def start(self) -> None:
        """Begin to work. The first thing done is to tidy."""
        self._thread.start()

    @property
    def failure(self) -> Exception | None:
        """Why the last attempt failed; None when it did not."""
        return self._failure

    def submit(self, operation: Operation) -> None:
        """Queue an operation. The caller holds the lock."""
        self._queue.append(operation)
        self._submitted += 1
        self._lock.notify_all()

    def wait(self, timeout_s: float) -> Exception | None:
        """Wait until everything submitted so far is done: None, or why not (the disk's refusal, or TimeoutError).

        A refusal counts only from an attempt that began after the call.
        """
        with self._lock:
            target, before = self._submitted, self._attempts
            self._waiting += 1
            self._wanted_attempt = before + 1
            self._lock.notify_all()
            self._lock.wait_for(lambda: self._done >= target or self._failed_attempt > before or self._ended, timeout_s)
            self._waiting -= 1
            if self._done >= target:
                return None
            if self._failed_attempt > before and self._failure is not None:
                return self._failure
            if self._ended:
                return RuntimeError("the writer has stopped")
            return self._failure or TimeoutError(f"{timeout_s:g} s were not enough")

    def stop(self, drain_s: float) -> list[Operation]:
        """Work on for at most `drain_s`, then end; returns what was not done. The current attempt is not cut off."""
        with self._lock:
            self._stop_at = time.monotonic() + drain_s
            self._wanted_attempt = self._attempts + 1
            self._lock.notify_all()
        self._thread.join(drain_s + _GRACE_S)
        with self._lock:
            return [*self._batch, *self._queue]

    def _run(self) -> None:
        try:
            self._tidy_safely(idle=True)
            while self._next_batch():
                try:
                    self._perform(self._batch)
                except Exception as error:  # whatever it is, the data stays queued and the process lives
                    self._pause_after(error)
                else:
                    self._settle()
        finally:
            self._finish()
            with self._lock:
                self._ended = True
                self._lock.notify_all()

    def _next_batch(self) -> bool:
        with self._lock:
            if not self._batch:
                self._lock.wait_for(lambda: self._queue or self._stop_at is not None)
                self._lock.wait_for(
                    lambda: self._waiting or self._stop_at is not None or self._is_full(self._queue), self._linger_s
                )
            if self._stop_at is not None and time.monotonic() >= self._stop_at:
                return False
            if not self._batch and self._queue:
                self._batch = self._take(self._queue)
            self._attempts += bool(self._batch)
            return bool(self._batch)

    def _pause_after(self, error: Exception) -> None:
        with self._lock:
            first = self._failure is None
            self._failure, self._failed_attempt = error, self._attempts
            self._failures_in_a_row = 1 if first else self._failures_in_a_row + 1
            self._lock.notify_all()
            pause_s = min(self._retry_most_s, self._retry_first_s * 2.0 ** min(self._failures_in_a_row, 30))
            if self._stop_at is not None:
                pause_s = min(pause_s, max(0.0, self._stop_at - time.monotonic()))
            if first:
                reason = str(error).partition("\n")[0]
                _log.warning("nothing can be written at the moment, it is retried: %s", reason)
                _log.debug("the first refusal in full", exc_info=error)
            self._lock.wait_for(lambda: self._wanted_attempt > self._attempts, pause_s)

    def _settle(self) -> None:
        self._tidy_safely(idle=False)
        with self._lock:
            if self._failure is not None:
                _log.warning("writing works again")
            self._failure = None
            self._done += len(self._batch)
            self._batch = []
            self._lock.notify_all()
            idle = not self._queue and self._stop_at is None
        if idle:
            self._tidy_safely(idle=True)

    def _tidy_safely(self, *, idle: bool) -> None:
        try:
            self._tidy(idle)
        except Exception as error:  # tidying can wait; what was written is durable
            _log.warning("tidying failed, it is tried again later: %s", error)
