"""The engine's one thread: which work shares the next forward.

A piece of work is a script: a generator that yields the spans it needs computed and is sent their logits, until it
returns its result. Scripts run between forwards only, and never two at a time, so pool and residents need no locks: on
this thread, or, where a model computes on the CPU, on the one thread of all such engines (`compute_thread.py`). Rules:

- What a script yields is computed in the very next forward. A block that one script is about to encode may therefore be
  seen by every other script of the same forward.
- Turns go earliest deadline first, and join the next forward while it has fewer than `max_rows` rows.
- Background work runs when no turn waits, and yields once. Under turns without a pause one piece of it joins their
  forward every `background_patience_s`, or every forward as long as it finds nothing to compute: a session opened then
  gets ready late, but it does.
- For `quiet_s` behind a turn the next one may come, so background work fills forwards of `max_rows` only, and a turn
  never waits for more. Otherwise they are as large as `quiet_rows`, which a GPU takes to be busy, if the device
  computes that many in a quarter of a second, and its memory allows it.
- A GPU takes forwards faster than it computes them, and nobody waits for logits of background work. So while a turn may
  come, the next forward begins when the last is done; otherwise one may lie ahead, so that the GPU never idles.
"""

import atexit
import itertools
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

import torch

from agent_runtime.engine.compute_thread import Compute, at_once
from agent_runtime.engine.errors import EngineClosed
from agent_runtime.engine.forward import ForwardRunner, Logits
from agent_runtime.engine.span import Span

_log = logging.getLogger(__name__)

# Background work is cut into pieces of at most this many rows, if no single block is longer.
BACKGROUND_ROWS = 256
# How long a forward of background work may take, since a turn may come all the same.
_BACKGROUND_S = 0.25
# How long a process that ends waits for one layer: of a long prompt on a CPU it takes many seconds.
_LAST_LAYER_S = 30.0

T = TypeVar("T")
Script = Generator[Sequence[Span], Logits, T]
Going = list[tuple["Work[Any]", Sequence[Span]]]


@dataclass(eq=False)
class Work(Generic[T]):
    """A script on its way: its result, when it is due, and what it has cost so far."""

    script: Script[T]
    deadline: float
    background: bool
    number: int
    future: Future[T] = field(default_factory=Future)
    submitted_at: float = field(default_factory=time.perf_counter)
    started_at: float | None = None
    finished_at: float | None = None
    engine_s: float = 0.0
    forwards: int = 0
    rows: int = 0
    _cancelled: bool = False

    def cancel(self) -> None:
        """Ask for an end: nothing of the script runs in any later forward. May be called from any thread.

        A forward that keeps nothing in the pool ends at its next layer once all that share it are cancelled.
        """
        self._cancelled = True

    @property
    def queue_s(self) -> float:
        """Return the seconds between submission and the script's first step."""
        return (self.started_at or time.perf_counter()) - self.submitted_at


class Engine:
    """Owns the thread that runs forwards. Submit scripts from anywhere; wait on their futures."""

    def __init__(
        self,
        runner: ForwardRunner,
        *,
        max_rows: int = 512,
        quiet_rows: int | None = None,
        quiet_s: float = 1.0,
        background_patience_s: float = 2.0,
        compute: Compute = at_once,
    ) -> None:
        """Start the thread. `compute` runs scripts and forwards; without it they run on this thread itself.

        `quiet_rows` None is `max_rows`.
        """
        self.runner = runner
        self.compute = compute
        self.max_rows = max_rows
        self.quiet_rows = max(quiet_rows or 0, max_rows)
        self._rows_measured, self._rows_per_s = 0, 0.0
        self.quiet_s = quiet_s
        self._turn_at = -math.inf
        self.background_patience_s = background_patience_s
        self._background_ran_at = -math.inf
        self._wait_for_last: Callable[[], None] = _at_once
        self._numbers = itertools.count()
        self._wakeup = threading.Condition()
        self._waiting: list[Work[Any]] = []
        self._calls: deque[Callable[[], None]] = deque()
        self._closing = self._ended = False
        self._tells: list[Callable[[], None]] = []
        self._thread = threading.Thread(target=self._loop, name="engine", daemon=True)
        # Whoever ends without closing: a thread that comes out of torch when Python is gone aborts the process.
        atexit.register(self.close, _LAST_LAYER_S)
        self._thread.start()

    def submit(self, script: Script[T], *, deadline: float = float("inf"), background: bool = False) -> Work[T]:
        """Queue a script. `deadline` is a `time.perf_counter()` time and only orders the queue."""
        work = Work(script, deadline, background, next(self._numbers))
        self._queue([work])
        return work

    def submit_together(self, scripts: Sequence[Script[T]]) -> list[Work[T]]:
        """Queue scripts in one moment: as many as `max_rows` allows begin in the same forward."""
        works = [Work(script, math.inf, False, next(self._numbers)) for script in scripts]
        self._queue(works)
        return works

    def _queue(self, works: Sequence[Work[Any]]) -> None:
        with self._wakeup:
            if self._closing:
                raise EngineClosed
            self._waiting.extend(works)
            self._wakeup.notify()

    def soon(self, call: Callable[[], None]) -> None:
        """Run `call` on the engine's thread after the results of the current forward are out; what it raises is logged.

        Raises EngineClosed when that thread has ended.
        """
        with self._wakeup:
            if self._ended:
                raise EngineClosed
            self._calls.append(call)
            self._wakeup.notify()

    def ask(self, call: Callable[[], T], timeout_s: float | None = None) -> T:
        """Run `call` on the engine's thread and return its result; raises what it raises, or EngineClosed."""
        answer: Future[T] = Future()

        def run() -> None:
            try:
                answer.set_result(call())
            except BaseException as error:
                answer.set_exception(error)

        self.soon(run)
        return answer.result(timeout_s)

    @property
    def num_waiting(self) -> int:
        """Return how many scripts have not begun."""
        with self._wakeup:
            return len(self._waiting)

    def close(self, timeout_s: float | None = None) -> bool:
        """Fail what is under way and what waits with EngineClosed, and stop the thread.

        A forward ends at its next layer; False when that takes longer than `timeout_s`.
        """
        with self._wakeup:
            self._closing = True
            self._wakeup.notify()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            return False
        atexit.unregister(self.close)
        return True

    def _loop(self) -> None:
        going: Going = []
        while True:
            with self._wakeup:
                while not (self._waiting or self._calls or going or self._closing):
                    self._wakeup.wait()
                calls, self._calls = self._calls, deque()
            for call in calls:
                _guarded(call)
            if self._closing:
                self._fail_all([work for work, _ in going])
                self._end()
                return
            if going or self.num_waiting:
                # Results go out from here: whoever hears of one may ask for anything, another engine's work too.
                batch = self.compute(partial(self._join, going))
                self._settle()
                going = self.compute(partial(self._forward, batch)) if batch else []
                self._settle()

    def _settle(self) -> None:
        """Tell of every script that has ended."""
        ended, self._tells = self._tells, []
        for tell in ended:
            tell()

    def _end(self) -> None:
        """Run the calls that are left, and take no more: nobody waits for an answer that cannot come."""
        while True:
            with self._wakeup:
                if not self._calls:
                    self._ended = True
                    return
                call = self._calls.popleft()
            _guarded(call)

    def _join(self, going: Going) -> Going:
        """Return the next forward's work: what goes on, and what may start beside it."""
        if self._closing:
            return going
        batch = [(work, spans) for work, spans in going if not self._dropped(work)]
        rows = sum(_num_rows(spans) for _, spans in batch)
        turn_started = any(not work.background for work, _ in batch)
        is_due = self._is_background_due()
        while True:
            background = is_due or (not turn_started and self._has_room(rows))
            work = self._next(turns=rows < self.max_rows, background=background)
            if work is None:
                break
            is_due = is_due and not work.background
            if self._dropped(work):
                continue
            work.started_at = time.perf_counter()
            spans = self._advance(work, None)
            if spans is not None:
                if work.background:
                    self._background_ran_at = work.started_at
                batch.append((work, spans))
                rows += _num_rows(spans)
                turn_started = turn_started or not work.background
        if turn_started:
            self._turn_at = time.perf_counter()
        return batch

    def _has_room(self, rows: int) -> bool:
        """Whether a forward of background work with `rows` rows may take another piece."""
        if self._is_quiet():
            return rows < max(self.max_rows, min(self.quiet_rows, self._rows_per_s * _BACKGROUND_S))
        return rows == 0 or rows + BACKGROUND_ROWS <= self.max_rows

    def _is_quiet(self) -> bool:
        """Whether no turn was there for so long that the next one is not expected."""
        return time.perf_counter() - self._turn_at > self.quiet_s

    def _is_background_due(self) -> bool:
        """Whether background work has waited for too long, and none of it has taken rows in the meantime."""
        since = time.perf_counter() - self.background_patience_s
        if self._background_ran_at > since:
            return False
        with self._wakeup:
            return any(work.background and work.submitted_at <= since for work in self._waiting)

    def _next(self, *, turns: bool, background: bool) -> Work[Any] | None:
        with self._wakeup:
            ready = [work for work in self._waiting if (background if work.background else turns)]
            if not ready:
                return None
            work = min(ready, key=lambda work: (work.background, work.deadline, work.number))
            self._waiting.remove(work)
            return work

    def _dropped(self, work: Work[Any]) -> bool:
        if not work._cancelled:
            return False
        _guarded(work.script.close)
        self._ends(work, partial(work.future.set_exception, CancelledError()))
        return True

    def _ends(self, work: Work[Any], tell: Callable[[], None]) -> None:
        work.finished_at = time.perf_counter()
        self._tells.append(tell)

    def _advance(self, work: Work[Any], logits: Logits | None) -> Sequence[Span] | None:
        """Let a script go on; return what it wants computed next, or None when it has ended."""
        try:
            return next(work.script) if logits is None else work.script.send(logits)
        except StopIteration as end:
            self._ends(work, partial(work.future.set_result, end.value))
        except BaseException as error:
            self._ends(work, partial(work.future.set_exception, error))
        return None

    def _forward(self, batch: Going) -> Going:
        begin = time.perf_counter()
        has_turn = any(not work.background for work, _ in batch)
        try:
            logits = self._computed(batch, self._stops(batch))
            if not has_turn:
                self._keep_up(sum(_num_rows(spans) for _, spans in batch), begin)
        except BaseException as error:
            for work, _ in batch:
                if not (isinstance(error, EngineClosed) and self._dropped(work)):
                    self._throw(work, error)
            return []
        ended = time.perf_counter()
        took_s = ended - begin
        if has_turn:
            self._turn_at = ended
        going = []
        for work, spans in batch:
            work.engine_s += took_s
            work.forwards += 1
            work.rows += _num_rows(spans)
            more = self._advance(work, logits)
            if more is not None:
                assert not work.background, "background work yields once"
                going.append((work, more))
        return going

    def _stops(self, batch: Going) -> Callable[[], bool]:
        """Return whether a forward is to end at its next layer: the engine closes, or nobody waits for it any more.

        One that encodes blocks goes on: the next turn needs them, and would come as late without.
        """
        keeps = any(span.keep is not None for _, spans in batch for span in spans)
        return lambda: self._closing or (not keeps and all(work._cancelled for work, _ in batch))

    def _computed(self, batch: Going, is_stopped: Callable[[], bool]) -> Logits:
        """Compute a forward; one of background work that is too large for the device's memory, in halves."""
        try:
            return self.runner.run([span for _, spans in batch for span in spans], is_stopped)
        except torch.OutOfMemoryError:
            if len(batch) == 1 or any(not work.background for work, _ in batch):
                raise
        self.quiet_rows = max(self.max_rows, sum(_num_rows(spans) for _, spans in batch) // 2)
        _log.warning(
            "a forward of background work did not fit into the device's memory; from now on %d rows", self.quiet_rows
        )
        half = len(batch) // 2  # a later piece may see what an earlier one encodes, and never the other way round
        return Logits({**self._computed(batch[:half], is_stopped), **self._computed(batch[half:], is_stopped)})

    def _keep_up(self, rows: int, begin: float) -> None:
        """Wait for the device as nobody else does: for this forward, or if it is quiet for the one before.

        It was begun at `begin`. How long much more rows take than any before is measured first.
        """
        wait = self.runner.mark()
        if self._is_quiet() and rows <= 2 * self._rows_measured:
            wait, self._wait_for_last = self._wait_for_last, wait
            wait()
            return
        wait()
        self._wait_for_last = _at_once
        if rows >= self._rows_measured:
            self._rows_measured, self._rows_per_s = rows, rows / max(time.perf_counter() - begin, 1e-6)

    def _throw(self, work: Work[Any], error: BaseException) -> None:
        try:
            work.script.throw(error)
        except StopIteration as end:
            self._ends(work, partial(work.future.set_result, end.value))
        except BaseException as raised:
            self._ends(work, partial(work.future.set_exception, raised))
        else:
            _guarded(work.script.close)
            self._ends(work, partial(work.future.set_exception, error))

    def _fail_all(self, going: list[Work[Any]]) -> None:
        with self._wakeup:
            waiting, self._waiting = self._waiting, []
        for work in [*going, *waiting]:
            _guarded(work.script.close)
            work.future.set_exception(EngineClosed())


def _at_once() -> None:
    """Wait for nothing: nothing has been computed."""


def _guarded(call: Callable[[], None]) -> None:
    """Run what belongs to one caller: if it fails, the others' work goes on."""
    try:
        call()
    except Exception:
        _log.exception("a call on the engine's thread failed")


def _num_rows(spans: Sequence[Span]) -> int:
    return sum(len(span.ids) for span in spans)
