"""The one thread on which this process multiplies on its CPU.

GNU OpenMP, by which torch uses several cores, keeps a team of threads for every thread that has ever asked for one.
Once all teams together are larger than the machine, a team no longer waits for its next piece of work in a loop but
sleeps, and a turn of a thousand small products sleeps and wakes a thousand times: on two cores one turn of 51 rows
behind 2,040 tokens took 147 ms (best of 60, six processes) when the main thread had probed the model and the engine's
thread computed, and 116 ms when one thread had done both. So engines compute here, and so does whatever else
multiplies: probes, merged adapters, benchmarks. Two engines never compute at the same time; they would have to share
the cores anyway.

A process that computes with torch on threads of its own as well has its own teams, and pays for them.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import cache
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

import torch

T = TypeVar("T")

# Two threads that ask for the first time would each begin one.
_BEGINNING = threading.Lock()


class Compute(Protocol):
    """Runs a call somewhere, returns what it returns and raises what it raises: `computed` or `at_once`."""

    def __call__(self, call: Callable[[], T]) -> T: ...


def computed(call: Callable[[], T]) -> T:
    """Return what `call` returns, or raise what it raises, after it has run on the compute thread."""
    thread = _thread()
    if threading.get_ident() == thread.ident:
        return call()
    return thread.asked(call).result()


def at_once(call: Callable[[], T]) -> T:
    """Return what `call` returns, on this thread: the way of models that do not compute on the CPU."""
    return call()


@contextmanager
def without_team() -> Iterator[None]:
    """Have torch use this thread alone: for what is long and multiplies nothing, such as reading weights."""
    _thread()  # which would be as lonely if it began in here
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(num_threads)


class _ComputeThread(threading.Thread):
    """A daemon: what it is at when the process ends is the business of whoever asked."""

    def __init__(self) -> None:
        super().__init__(name="compute", daemon=True)
        self._calls: SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = SimpleQueue()
        self.start()
        self.asked(torch.get_num_threads).result()  # from now on it keeps this number

    def asked(self, call: Callable[[], T]) -> "Future[T]":
        """Queue a call."""
        answer: Future[T] = Future()
        self._calls.put((call, answer))
        return answer

    def run(self) -> None:
        while True:
            call, answer = self._calls.get()
            try:
                answer.set_result(call())
            except BaseException as error:
                answer.set_exception(error)
            # Nothing of this call, such as a pool, stays until the next one comes.
            del call, answer


def _thread() -> _ComputeThread:
    with _BEGINNING:
        return _the_only_one()


@cache
def _the_only_one() -> _ComputeThread:
    return _ComputeThread()
