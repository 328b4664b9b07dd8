"""Progress by a clock that the test turns."""

import threading

import pytest

from agent_runtime.commands.progress import Pace, Progress


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_pace_is_due_once_in_so_many_seconds() -> None:
    clock = Clock()
    pace = Pace(10.0, clock)
    due = []
    for clock.now in (100.0, 109.9, 110.0, 110.1, 119.9, 145.0, 154.9, 155.0):
        due.append(pace.is_due())
    assert due == [False, False, True, False, False, True, False, True]


def test_a_line_comes_every_ten_seconds_whether_or_not_anything_was_done(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    progress = Progress(clock, is_terminal=False)
    for second in range(1, 36):
        clock.now += 1
        if second == 7:
            progress.tell("a.jsonl: 0 items answered")
        if second >= 25:
            progress.tell(f"a.jsonl: {second} items answered")
        progress.look()
    out, err = capsys.readouterr()
    assert not out and err.splitlines() == [
        "a.jsonl: 0 items answered, 10 s so far",
        "a.jsonl: 0 items answered, 20 s so far",
        "a.jsonl: 30 items answered, 30 s so far",
    ]


def test_before_anything_is_told_of_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    progress = Progress(clock, is_terminal=False)
    clock.now += 60
    progress.look()
    assert capsys.readouterr().err == ""


def test_at_a_terminal_one_line_is_written_over_and_gone_in_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    progress = Progress(clock, is_terminal=True)
    with progress.shown():
        pass
    for done in (1, 2):
        clock.now += 1
        progress.tell(f"leduc: {done} of 2 matches played")
        progress.look()
    erase = "\r\x1b[K"
    assert capsys.readouterr().err == (
        f"{erase}{erase}leduc: 1 of 2 matches played, 1 s so far{erase}leduc: 2 of 2 matches played, 2 s so far"
    )


class Looked(Progress):
    """Knows that somebody has looked."""

    def __init__(self) -> None:
        super().__init__(is_terminal=True)
        self.looked = threading.Event()

    def look(self) -> None:
        self.looked.set()


def test_somebody_looks_while_the_work_is_done() -> None:
    """The work ends when it has been looked at: without a look it would not."""
    progress = Looked()
    with progress.shown():
        assert progress.looked.wait(60)
    assert "progress" not in {thread.name for thread in threading.enumerate()}
