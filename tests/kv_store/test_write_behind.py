import threading
from collections.abc import Callable, Iterator

import pytest

from kv_store.write_behind import WriteBehind


class Desk:
    """A writer of numbers that refuses while `refusing`, and stops in the middle of a batch while `gate` is shut."""

    def __init__(self, *, linger_s: float = 0.0, full: int = 1_000, batch: int = 1_000, pause_s: float = 0.0) -> None:
        self.lock = threading.Condition()
        self.done: list[list[int]] = []
        self.attempts = 0
        self.refusing = threading.Event()
        self.refused = threading.Semaphore(0)
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.tidied: list[bool] = []
        self.tidy: Callable[[bool], None] = self.tidied.append
        self.finished = threading.Event()
        self.writer: WriteBehind[int] = WriteBehind(
            self.lock,
            take=lambda queue: [queue.popleft() for _ in range(min(batch, len(queue)))],
            is_full=lambda queue: len(queue) >= full,
            perform=self.perform,
            tidy=lambda idle: self.tidy(idle),
            finish=self.finished.set,
            linger_s=linger_s,
            retry_first_s=pause_s,
            retry_most_s=pause_s,
        )

    def perform(self, batch: list[int]) -> None:
        self.entered.release()
        assert self.gate.wait(10)
        self.attempts += 1
        if self.refusing.is_set():
            self.refused.release()
            raise OSError("the disk is full")
        self.done.append(list(batch))

    def submit(self, *numbers: int) -> None:
        with self.lock:
            for number in numbers:
                self.writer.submit(number)


@pytest.fixture
def desks() -> Iterator[list[Desk]]:
    made: list[Desk] = []
    yield made
    for desk in made:
        desk.gate.set()
        desk.writer.stop(0)


def start(desks: list[Desk], desk: Desk) -> Desk:
    desks.append(desk)
    desk.writer.start()
    return desk


def test_what_is_queued_together_is_one_batch_in_order(desks: list[Desk]) -> None:
    desk = start(desks, Desk())
    desk.submit(1, 2, 3)
    assert desk.writer.wait(10) is None
    assert desk.done == [[1, 2, 3]]


def test_a_batch_that_waits_for_more_is_written_at_once_when_somebody_waits_for_it(desks: list[Desk]) -> None:
    desk = start(desks, Desk(linger_s=1_000.0))
    desk.submit(1)
    desk.submit(2)
    assert desk.writer.wait(10) is None
    assert desk.done == [[1, 2]]


def test_a_batch_that_is_full_does_not_wait_for_more(desks: list[Desk]) -> None:
    desk = start(desks, Desk(linger_s=1_000.0, full=2))
    desk.submit(1, 2)
    assert desk.entered.acquire(timeout=10)


def test_a_refused_batch_is_tried_again_until_it_is_done_and_nothing_overtakes_it(desks: list[Desk]) -> None:
    desk = start(desks, Desk(batch=2))
    desk.refusing.set()
    desk.submit(1, 2, 3)
    for _ in range(3):
        assert desk.refused.acquire(timeout=10)
    assert isinstance(desk.writer.failure, OSError)
    desk.refusing.clear()
    assert desk.writer.wait(10) is None
    assert desk.done == [[1, 2], [3]]
    assert desk.writer.failure is None


def test_waiting_ends_with_the_refusal_of_an_attempt_that_began_after_it(desks: list[Desk]) -> None:
    desk = start(desks, Desk(pause_s=1_000.0))
    desk.refusing.set()
    desk.gate.clear()
    desk.submit(1)
    assert desk.entered.acquire(timeout=10)  # the first attempt is on its way and will be refused
    answers: list[Exception | None] = []
    waiter = threading.Thread(target=lambda: answers.append(desk.writer.wait(10)))
    with desk.lock:  # the waiter cannot be ahead of us
        waiter.start()
    with desk.lock:
        desk.lock.wait_for(lambda: desk.writer._waiting == 1, 10)
    desk.gate.set()
    waiter.join(10)
    assert desk.attempts == 2
    assert len(answers) == 1 and isinstance(answers[0], OSError)


def test_a_wait_does_not_pause_for_the_next_attempt(desks: list[Desk]) -> None:
    desk = start(desks, Desk(pause_s=1_000.0))
    desk.refusing.set()
    desk.submit(1)
    assert desk.refused.acquire(timeout=10)
    assert isinstance(desk.writer.wait(10), OSError)
    desk.refusing.clear()
    assert desk.writer.wait(10) is None
    assert desk.done == [[1]]


def test_waiting_has_an_end(desks: list[Desk]) -> None:
    desk = start(desks, Desk())
    desk.gate.clear()
    desk.submit(1)
    assert isinstance(desk.writer.wait(0.01), TimeoutError)


def test_stopping_works_off_the_queue(desks: list[Desk]) -> None:
    desk = start(desks, Desk(batch=1, linger_s=1_000.0))
    desk.submit(1, 2, 3)
    assert desk.writer.stop(10) == []
    assert desk.done == [[1], [2], [3]]
    assert desk.finished.is_set()
    assert desk.writer.stop(10) == []


def test_stopping_says_what_it_could_not_write(desks: list[Desk]) -> None:
    desk = start(desks, Desk(batch=2))
    desk.refusing.set()
    desk.submit(1, 2, 3)
    assert desk.refused.acquire(timeout=10)
    assert desk.writer.stop(0.01) == [1, 2, 3]
    assert desk.finished.is_set()


def test_nothing_is_let_go_of_while_an_attempt_runs(desks: list[Desk], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kv_store.write_behind._GRACE_S", 0.01)
    desk = start(desks, Desk())
    desk.gate.clear()
    desk.submit(1)
    assert desk.entered.acquire(timeout=10)
    assert desk.writer.stop(0) == [1]
    assert not desk.finished.is_set()
    desk.gate.set()
    assert desk.finished.wait(10)


def test_tidying_happens_at_the_start_behind_each_batch_and_when_nothing_is_left(desks: list[Desk]) -> None:
    desk = Desk(batch=1)
    desk.submit(1, 2)
    start(desks, desk)
    desk.writer.wait(10)
    desk.writer.stop(10)
    assert desk.tidied[:3] == [True, False, False]


def test_tidying_that_fails_disturbs_nobody(desks: list[Desk]) -> None:
    def fail(idle: bool) -> None:
        raise OSError("no room to tidy")

    desk = Desk()
    desk.tidy = fail
    start(desks, desk)
    desk.submit(1)
    assert desk.writer.wait(10) is None


def test_a_writer_that_died_is_reported_and_not_waited_for(desks: list[Desk], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda arguments: None)
    desk = Desk()

    def die(idle: bool) -> None:
        raise SystemExit

    desk.tidy = die
    start(desks, desk)
    assert desk.finished.wait(10)
    desk.submit(1)
    assert "stopped" in str(desk.writer.wait(10))
