"""Who shares the next forward, in what order, and what happens when something fails."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from typing import Any

import pytest
import torch

from agent_runtime.engine import scheduler
from agent_runtime.engine.errors import EngineClosed
from agent_runtime.engine.forward import Logits
from agent_runtime.engine.runs import Run
from agent_runtime.engine.scheduler import BACKGROUND_ROWS, Engine, Script, Work
from agent_runtime.engine.span import NOTHING, Span
from tests.agent_runtime.worlds import wait_until
from tests.readme import ROOT


class FakeRunner:
    """Notes what each forward was given; a token 13 makes it fail, 14 makes it last until it is broken off, and 16
    until `may_end` is set.

    More than `largest` rows do not fit into its memory.
    """

    def __init__(self) -> None:
        self.forwards: list[list[int]] = []
        self.largest = 10**6
        self.waited_for: list[tuple[int, int]] = []
        self.fails_late = False
        self.may_end = threading.Event()
        self.was_stopped = False

    def mark(self) -> Callable[[], None]:
        """Return what notes how many forwards were waited for, and how many there were by then."""
        count = len(self.forwards)

        def wait() -> None:
            self.waited_for.append((count, len(self.forwards)))
            if self.fails_late:
                raise RuntimeError("an illegal memory access")

        return wait

    def run(self, spans: Sequence[Span], is_stopped: Callable[[], bool]) -> Logits:
        self.forwards.append([token for span in spans for token in span.ids])
        if len(self.forwards[-1]) > self.largest:
            raise torch.OutOfMemoryError
        if 13 in self.forwards[-1]:
            raise RuntimeError("out of memory")
        if 14 in self.forwards[-1]:
            wait_until(is_stopped)
            raise EngineClosed
        if 16 in self.forwards[-1]:
            assert self.may_end.wait(10)
            self.was_stopped = is_stopped()
        return Logits({span: torch.zeros(1, 4) for span in spans})


def keeping(token: int) -> Script[int]:
    yield [Span([token], 0, NOTHING, keep=Run(((0, 1),), 1))]
    return token


def one(token: int, rows: int = 1) -> Script[int]:
    yield [Span([token] * rows, 0, NOTHING)]
    return token


def many(token: int, times: int) -> Script[int]:
    for _ in range(times):
        yield [Span([token], 0, NOTHING)]
    return token


class Held:
    """An engine whose thread stands still until `go`, so that a queue can build up."""

    def __init__(self, **sizes: Any) -> None:
        self.runner = FakeRunner()
        self.engine = Engine(self.runner, **sizes)  # type: ignore[arg-type]
        self.gate = threading.Event()
        self.engine.soon(self.gate.wait)

    def go(self) -> None:
        self.gate.set()


def test_turns_share_a_forward_and_background_waits_for_all_of_them() -> None:
    held = Held()
    background = held.engine.submit(one(9), background=True)
    turns = [held.engine.submit(one(token)) for token in (3, 4, 5)]
    held.go()
    assert [work.future.result(10) for work in (*turns, background)] == [3, 4, 5, 9]
    assert held.runner.forwards == [[3, 4, 5], [9]]
    held.engine.close()


ROWS = BACKGROUND_ROWS


@pytest.mark.parametrize(("turns", "waits"), [((), [(1, 1), (2, 3), (3, 4)]), ((3,), [(2, 2), (3, 3), (4, 4), (5, 5)])])
def test_a_device_is_given_background_work_one_forward_ahead_unless_a_turn_was_near(
    turns: Sequence[int], waits: list[tuple[int, int]]
) -> None:
    held = Held(max_rows=ROWS, quiet_s=3600.0)
    works = [held.engine.submit(one(token, ROWS), background=True) for token in range(20, 24)]
    works += [held.engine.submit(one(token)) for token in turns]
    held.go()
    assert {work.future.result(10) for work in works} == {20, 21, 22, 23, *turns}
    assert held.runner.waited_for == waits
    held.engine.close()


def test_what_a_device_says_late_of_background_work_fails_that_work() -> None:
    held = Held(quiet_s=3600.0)
    held.runner.fails_late = True
    turn, background = held.engine.submit(one(3)), held.engine.submit(one(9), background=True)
    held.go()
    assert turn.future.result(10) == 3
    with pytest.raises(RuntimeError, match="illegal memory access"):
        background.future.result(10)
    held.engine.close()


def pieces(held: Held, number: int, *turns: int) -> list[int]:
    """Let so many pieces of background work and some turns be computed; return how many pieces each forward held."""
    works = [held.engine.submit(one(token, ROWS), background=True) for token in range(20, 20 + number)]
    works += [held.engine.submit(one(token)) for token in turns]
    held.go()
    for work in works:
        work.future.result(10)
    return [len(forward) // ROWS for forward in held.runner.forwards]


class Clock:
    """The engine's time, which passes in forwards of background work alone."""

    def __init__(self, patched: pytest.MonkeyPatch) -> None:
        self.now = time.perf_counter()
        patched.setattr(scheduler, "time", self)

    def perf_counter(self) -> float:
        return self.now

    def held(self, seconds: float, **sizes: Any) -> Held:
        """Return an engine whose forwards take so many seconds."""

        def wait() -> None:
            self.now += seconds

        held = Held(**sizes)
        held.runner.mark = lambda: wait  # type: ignore[method-assign]
        return held


@pytest.mark.parametrize(
    ("seconds", "turns", "forwards"), [(0.01, (), [2, 4, 2]), (0.6, (), [2, 2, 2, 2]), (0.01, (3,), [0, 2, 2, 2, 2])]
)
def test_background_work_fills_large_forwards_if_the_device_is_fast_and_no_turn_was_near(
    monkeypatch: pytest.MonkeyPatch, seconds: float, turns: Sequence[int], forwards: list[int]
) -> None:
    held = Clock(monkeypatch).held(seconds, max_rows=2 * ROWS, quiet_rows=4 * ROWS, background_patience_s=60.0)
    assert pieces(held, 8, *turns) == forwards
    held.engine.close()


def test_background_work_that_does_not_fit_into_memory_is_computed_in_halves(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    held = Clock(monkeypatch).held(0.01, max_rows=ROWS, quiet_rows=4 * ROWS)
    held.runner.largest = 2 * ROWS
    assert pieces(held, 7) == [1, 4, 2, 2, 2]
    assert held.engine.quiet_rows == 2 * ROWS
    [record] = caplog.records
    assert "did not fit" in record.getMessage()
    held.engine.close()


def test_what_is_queued_together_begins_together_whatever_the_engine_is_at() -> None:
    held = Held()
    held.go()
    for _ in range(20):
        works = held.engine.submit_together([one(token) for token in (3, 4, 5)])
        assert [work.future.result(10) for work in works] == [3, 4, 5]
    assert held.runner.forwards == [[3, 4, 5]] * 20
    held.engine.close()
    with pytest.raises(EngineClosed):
        held.engine.submit_together([one(3)])


def test_under_turns_without_a_pause_one_piece_of_overdue_background_work_joins_them() -> None:
    held = Held(background_patience_s=3600.0)

    background: list[Work[int]] = []

    def turn() -> Script[list[bool]]:
        yield [Span([3], 0, NOTHING)]
        background.extend(held.engine.submit(one(token), background=True) for token in (7, 8, 9))
        for work in background[:2]:
            work.submitted_at -= 7200
        for _ in range(5):
            yield [Span([3], 0, NOTHING)]
        return [work.future.done() for work in background]

    ended = held.engine.submit(turn())
    held.go()
    assert ended.future.result(10) == [True, False, False]
    assert [work.future.result(10) for work in background] == [7, 8, 9]
    assert held.runner.forwards == [[3], [3, 7], *[[3]] * 4, [8, 9]]
    held.engine.close()


def test_an_overdue_piece_however_long_keeps_no_turn_from_the_forward_it_joins() -> None:
    held = Held(max_rows=4, background_patience_s=3600.0)
    long = held.engine.submit(one(7, rows=9), background=True)
    long.submitted_at -= 7200
    turns = [held.engine.submit(one(token, rows=2)) for token in (3, 4, 5)]
    held.go()
    for work in (long, *turns):
        work.future.result(10)
    assert held.runner.forwards == [[3, 3, 4, 4, *[7] * 9], [5, 5]]
    held.engine.close()


def test_overdue_background_work_that_finds_nothing_to_compute_takes_one_forward_a_piece() -> None:
    held = Held(background_patience_s=3600.0)

    def nothing() -> Script[int]:
        yield from ()
        return held.runner.forwards.count([3])

    def turn() -> Script[None]:
        background.extend(held.engine.submit(nothing(), background=True) for _ in range(3))
        for work in background:
            work.submitted_at -= 7200
        for _ in range(5):
            yield [Span([3], 0, NOTHING)]

    background: list[Work[int]] = []
    ended = held.engine.submit(turn())
    held.go()
    ended.future.result(10)
    assert [work.future.result(10) for work in background] == [1, 2, 3]
    held.engine.close()


def test_closing_waits_no_longer_than_it_was_told_to() -> None:
    held = Held()
    assert not held.engine.close(0.01)
    held.go()
    assert held.engine.close(10)


def test_closing_breaks_off_the_forward_under_way() -> None:
    held = Held()
    long = held.engine.submit(one(14))
    held.go()
    while not held.runner.forwards:
        held.gate.wait(0.001)
    assert held.engine.close(10)
    with pytest.raises(EngineClosed):
        long.future.result(0)


def test_a_process_that_ends_while_a_forward_runs_ends_cleanly() -> None:
    program = """
import threading
import time
from agent_runtime.engine.scheduler import Engine
from agent_runtime.engine.span import NOTHING, Span
from tests.agent_runtime.engine.worlds import world

def script():
    while True:
        yield [Span([5] * 200, 0, NOTHING)]
        began.set()

began, engine = threading.Event(), Engine(world().runner)
engine.submit(script())
began.wait()
print("in a forward")
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8", timeout=120, cwd=ROOT)
    assert (ran.returncode, ran.stdout) == (0, "in a forward\n"), ran.stderr


def test_the_earliest_deadline_goes_first_when_rows_are_short() -> None:
    held = Held(max_rows=2)
    works = [
        held.engine.submit(one(token, rows=2), deadline=deadline) for token, deadline in ((3, 9.0), (4, 1.0), (5, 5.0))
    ]
    held.go()
    for work in works:
        work.future.result(10)
    assert held.runner.forwards == [[4, 4], [5, 5], [3, 3]]
    held.engine.close()


def test_a_script_that_goes_on_is_always_in_the_next_forward() -> None:
    held = Held(max_rows=1)
    long = held.engine.submit(many(3, 3))
    late = held.engine.submit(one(4))
    held.go()
    assert (long.future.result(10), late.future.result(10)) == (3, 4)
    assert held.runner.forwards == [[3], [3], [3], [4]]
    assert (long.forwards, long.rows) == (3, 3)
    held.engine.close()


def test_a_failed_forward_fails_its_own_scripts_and_no_others() -> None:
    held = Held(max_rows=1)
    bad, good = held.engine.submit(one(13)), held.engine.submit(one(4))
    held.go()
    with pytest.raises(RuntimeError, match="out of memory"):
        bad.future.result(10)
    assert good.future.result(10) == 4
    held.engine.close()


def test_cancelled_work_runs_in_no_later_forward_and_cleans_up() -> None:
    held, cleaned = Held(), threading.Event()

    def script() -> Script[int]:
        try:
            while True:
                yield [Span([3], 0, NOTHING)]
        finally:
            cleaned.set()

    waiting, running = held.engine.submit(one(4)), held.engine.submit(script())
    waiting.cancel()
    held.go()
    with pytest.raises(CancelledError):
        waiting.future.result(10)
    running.cancel()
    with pytest.raises(CancelledError):
        running.future.result(10)
    assert cleaned.wait(10)
    assert not any(4 in forward for forward in held.runner.forwards)
    held.engine.close()


def test_a_script_that_raises_fails_alone() -> None:
    held = Held()

    def script() -> Script[int]:
        yield [Span([3], 0, NOTHING)]
        raise ValueError("the template is broken")

    bad, good = held.engine.submit(script()), held.engine.submit(one(4))
    held.go()
    with pytest.raises(ValueError, match="template"):
        bad.future.result(10)
    assert good.future.result(10) == 4
    held.engine.close()


def test_closing_fails_what_waits_and_refuses_more() -> None:
    held = Held()
    waiting = held.engine.submit(one(3))
    closer = threading.Thread(target=held.engine.close)
    closer.start()
    with pytest.raises(EngineClosed):
        while True:
            held.engine.submit(one(4))
    held.go()
    closer.join(10)
    with pytest.raises(EngineClosed):
        waiting.future.result(10)


def test_a_question_is_answered_on_the_engines_thread() -> None:
    held = Held()
    held.go()
    assert held.engine.ask(lambda: threading.current_thread().name, 10) == "engine"
    with pytest.raises(ZeroDivisionError):
        held.engine.ask(lambda: 1 // 0, 10)
    held.engine.close()


def test_a_call_that_raises_is_logged_and_ends_nobody_elses_work(caplog: pytest.LogCaptureFixture) -> None:
    held = Held()
    held.engine.soon(lambda: print(1 // 0))
    work = held.engine.submit(one(4))
    held.go()
    assert work.future.result(10) == 4
    assert "ZeroDivisionError" in caplog.text
    held.engine.close()


def test_a_script_that_fails_to_clean_up_ends_nobody_elses_work(caplog: pytest.LogCaptureFixture) -> None:
    held = Held()

    def script() -> Script[None]:
        try:
            while True:
                yield [Span([3], 0, NOTHING)]
        finally:
            raise AssertionError("the books are wrong")

    work, good = held.engine.submit(script()), held.engine.submit(many(4, 3))
    held.go()
    assert good.future.result(10) == 4
    work.cancel()
    with pytest.raises(CancelledError):
        work.future.result(10)
    assert "the books are wrong" in caplog.text
    assert held.engine.submit(one(5)).future.result(10) == 5
    held.engine.close()


def test_a_question_to_a_closed_engine_is_refused_and_never_hangs() -> None:
    held = Held()
    answers: list[int] = []
    held.engine.soon(lambda: held.engine.soon(lambda: answers.append(1)))
    closer = threading.Thread(target=held.engine.close)
    closer.start()
    held.go()
    closer.join(10)
    assert answers == [1], "what was handed in before the end is still run"
    with pytest.raises(EngineClosed):
        held.engine.ask(lambda: 1, 10)


def test_a_forward_that_nobody_waits_for_any_more_is_broken_off() -> None:
    runner = FakeRunner()
    engine = Engine(runner)  # type: ignore[arg-type]
    works = engine.submit_together([one(14), one(15)])
    wait_until(lambda: bool(runner.forwards))
    for work in works:
        work.cancel()
    for work in works:
        with pytest.raises(CancelledError):
            work.future.result(10)
    assert engine.submit(one(3)).future.result(10) == 3
    engine.close()


def test_one_that_another_waits_for_goes_on() -> None:
    runner = FakeRunner()
    engine = Engine(runner)  # type: ignore[arg-type]
    dropped, awaited = engine.submit_together([one(16), one(15)])
    wait_until(lambda: bool(runner.forwards))
    dropped.cancel()
    runner.may_end.set()
    assert awaited.future.result(10) == 15 and not runner.was_stopped
    engine.close()


def test_one_that_encodes_a_block_is_not_for_the_next_turn_needs_it() -> None:
    runner = FakeRunner()
    engine = Engine(runner)  # type: ignore[arg-type]
    work = engine.submit(keeping(16))
    wait_until(lambda: bool(runner.forwards))
    work.cancel()
    runner.may_end.set()
    assert work.future.result(10) == 16 and not runner.was_stopped
    engine.close()
