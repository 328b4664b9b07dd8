"""Threads for the blocking calls of an event loop. They are daemons: a call that hangs does not keep the process alive,
which `concurrent.futures` would see to.
"""

import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue

Job = Callable[[], None]
# A job of a lane may return what is left to do, beside the jobs behind it and on the thread that runs it already.
LaneJob = Callable[[], Job | None]


class Workers:
    """As many threads as there are jobs at once; idle ones are used again. Jobs catch their own exceptions."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._num_idle = 0
        self._num_threads = 0

    def submit(self, job: Job) -> None:
        """Run the job at once on some thread. From any thread."""
        with self._lock:
            is_new_thread_needed = self._num_idle == 0
            if is_new_thread_needed:
                self._num_threads += 1
            else:
                self._num_idle -= 1
        self._jobs.put(job)
        if is_new_thread_needed:
            threading.Thread(target=self._work, name=f"{self._name}-{self._num_threads}", daemon=True).start()

    def close(self) -> None:
        """End the threads that are idle, and the others when they have finished their job."""
        with self._lock:
            for _ in range(self._num_threads):
                self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            del job  # an idle thread keeps nothing alive
            with self._lock:
                self._num_idle += 1


class Lane:
    """Runs jobs one after another in the order they came, beside other lanes. From any thread."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._lock = threading.Lock()
        self._waiting: deque[LaneJob] = deque()
        self._is_running = False

    def __len__(self) -> int:
        """Jobs that wait, without the one that runs."""
        return len(self._waiting)

    @property
    def is_idle(self) -> bool:
        """True when no job waits or runs."""
        return not self._is_running

    def submit(self, job: LaneJob) -> None:
        """Run the job behind the earlier ones; what it returns runs beside the later ones."""
        with self._lock:
            self._waiting.append(job)
            if self._is_running:
                return
            self._is_running = True
        self._workers.submit(self._run)

    def _run(self) -> None:
        beside: Job | None = None
        while beside is None:
            with self._lock:
                if not self._waiting:
                    self._is_running = False
                    return
                job = self._waiting.popleft()
            beside = job()
        # This thread leaves the lane: to wake another one takes longer than what most jobs do, so that one is woken
        # for the jobs that wait, if any do, and not for what is left of this one, which somebody waits for.
        with self._lock:
            goes_on = self._is_running = bool(self._waiting)
        if goes_on:
            self._workers.submit(self._run)
        del job
        beside()
