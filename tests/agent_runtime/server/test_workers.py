"""Threads for blocking calls."""

import threading

from agent_runtime.server.workers import Job, Lane, Workers

PATIENCE_S = 20.0


def test_jobs_run_at_once_each_on_its_own_thread() -> None:
    workers = Workers("test")
    together = threading.Barrier(9)
    for _ in range(8):
        workers.submit(lambda: together.wait(PATIENCE_S) and None)
    together.wait(PATIENCE_S)
    workers.close()


def test_idle_threads_are_used_again() -> None:
    workers = Workers("test")
    names: set[str] = set()
    for _ in range(20):
        done = threading.Event()

        def job(done: threading.Event = done) -> None:
            names.add(threading.current_thread().name)
            done.set()

        workers.submit(job)
        assert done.wait(PATIENCE_S)
    assert len(names) <= 2  # a thread may not have become idle yet when the next job comes
    workers.close()


def test_threads_are_daemons_and_end_when_closed() -> None:
    workers = Workers("test")
    seen: list[threading.Thread] = []
    done = threading.Event()

    def job() -> None:
        seen.append(threading.current_thread())
        done.set()

    workers.submit(job)
    assert done.wait(PATIENCE_S) and seen[0].daemon
    workers.close()
    seen[0].join(PATIENCE_S)
    assert not seen[0].is_alive()


def test_a_lane_keeps_its_order_beside_a_blocked_one() -> None:
    workers = Workers("test")
    blocked, free = Lane(workers), Lane(workers)
    release, done = threading.Event(), threading.Event()
    order: list[int] = []
    blocked.submit(lambda: release.wait(PATIENCE_S) and None)
    blocked.submit(lambda: order.append(-1))
    for number in range(200):
        free.submit(lambda number=number: order.append(number))  # type: ignore[misc]
    free.submit(done.set)
    assert done.wait(PATIENCE_S) and order == list(range(200))
    assert not blocked.is_idle and len(blocked) == 1
    last = threading.Event()
    blocked.submit(last.set)
    release.set()
    assert last.wait(PATIENCE_S) and order[-1] == -1
    workers.close()


def test_what_a_job_returns_runs_on_its_thread_and_the_lane_goes_on_beside_it() -> None:
    workers = Workers("test")
    lane = Lane(workers)
    began, release, done = threading.Event(), threading.Event(), threading.Event()
    ran_on: list[str] = []

    def name_thread() -> None:
        ran_on.append(threading.current_thread().name)

    def beside() -> None:
        name_thread()
        began.set()
        release.wait(PATIENCE_S)
        done.set()

    def job() -> Job:
        name_thread()
        return beside

    lane.submit(job)
    assert began.wait(PATIENCE_S) and ran_on[0] == ran_on[1]
    assert lane.is_idle
    for _ in range(3):  # with jobs that wait when the thread leaves, and without
        behind = threading.Event()
        lane.submit(lambda: began.wait(PATIENCE_S) and (lambda: None))
        lane.submit(behind.set)
        assert behind.wait(PATIENCE_S) and not done.is_set()
    release.set()
    assert done.wait(PATIENCE_S)
    workers.close()
