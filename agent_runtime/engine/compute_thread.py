"""The one thread on which this process multiplies on its CPU.

GNU OpenMP, by which torch uses several cores, keeps a team of threads for every thread that has ever asked for one.
Once all teams together are larger than the machine, a team no longer waits for its next piece of work in a loop but
sleeps, and a turn of a thousand small products sleeps and wakes a thousand times: on two cores one turn of 51 rows
behind 2,040 tokens took 147 ms (best of 60, six processes) when the main thread had probed the model and the engine's
thread computed, and 116 ms when one thread had done both. So engines compute here, and so does whatever else
multiplies: probes, benchmarks. Two engines never compute at the same time; they would have to share
the cores anyway.

A process that computes with torch on threads of its own as well has its own teams, and pays for them.
"""

import atexit
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import cache
from queue import Empty, SimpleQueue
from typing import Any, Protocol, TypeVar

import torch

from agent_runtime.engine.errors import EngineClosed

T = TypeVar("T")

# How long a process that ends waits for what is being computed.
_LAST_CALL_S = 30.0
# Two threads that ask for the first time would each begin one.
_BEGINNING = threading.Lock()
_ENDING = threading.Event()
# A thread new to torch takes the number that was set last: one that began beside a lonely one would stay lonely.
_LONELY = threading.RLock()


def is_ending() -> bool:
    """Return whether the process ends: a forward that nobody else stops then ends at its next layer."""
    return _ENDING.is_set()


class Compute(Protocol):
    """Runs a call somewhere, returns what it returns and raises what it raises: `computed` or `at_once`."""

    def __call__(self, call: Callable[[], T]) -> T: ...


def computed(call: Callable[[], T]) -> T:
    """Return what `call` returns, or raise what it raises, after it has run on the compute thread.

    Raises EngineClosed when that thread is gone: the process ends, or is a fork of one that computed. Hold no lock here
    that others need, and call nobody who waits for something: all engines wait meanwhile.
    """
    thread = _thread()
    if threading.get_ident() == thread.ident:
        return call()
    answer = thread.asked(call)
    try:
        return answer.result()
    except BaseException:
        answer.cancel()  # whoever was interrupted takes back what has not begun
        raise


def at_once(call: Callable[[], T]) -> T:
    """Return what `call` returns, on this thread: the way of models that do not compute on the CPU."""
    return call()


@contextmanager
def without_team() -> Iterator[None]:
    """Have torch use this thread alone: for what is long and multiplies nothing, such as reading weights."""
    _thread()  # which would be as lonely if it began in here
    with _LONELY:
        num_threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(num_threads)


class _ComputeThread(threading.Thread):
    """A daemon that a process which ends waits for, a while: a thread that comes out of torch then aborts it."""

    def __init__(self) -> None:
        super().__init__(name="compute", daemon=True)
        self._calls: SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = SimpleQueue()
        # Engines that were made later end earlier, and with them the forward that is under way.
        atexit.register(self._end)
        self.start()
        self.asked(torch.get_num_threads).result()  # from now on it keeps this number

    def asked(self, call: Callable[[], T]) -> "Future[T]":
        """Queue a call."""
        if not self.is_alive():
            raise EngineClosed
        answer: Future[T] = Future()
        self._calls.put((call, answer))
        return answer

    def run(self) -> None:
        while True:
            call, answer = self._calls.get()
            if call is _LAST:
                return
            if not answer.set_running_or_notify_cancel():
                continue
            try:
                answer.set_result(call())
            except BaseException as error:
                answer.set_exception(error)
            # Nothing of this call, such as a pool, stays until the next one comes.
            del call, answer

    def _end(self) -> None:
        _ENDING.set()
        while True:
            try:
                self._calls.get_nowait()[1].cancel()
            except Empty:
                break
        self._calls.put((_LAST, Future()))
        self.join(_LAST_CALL_S)


def _LAST() -> None:
    """The call behind which there is none."""


def _thread() -> _ComputeThread:
    with _BEGINNING:
        return _the_only_one()


@cache
def _the_only_one() -> _ComputeThread:
    return _ComputeThread()
