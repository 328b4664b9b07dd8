"""Turns that are played together: they share a forward, and each ends for itself."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_runtime.agent import PendingTurn, run_together
from agent_runtime.block_cache import MemoryStore
from agent_runtime.engine.errors import EngineClosed
from agent_runtime.runtime import AgentRuntime
from agent_runtime.served_model import serve_model
from agent_runtime.turn import Mode, Outcome
from tests.agent_runtime.worlds import ask, load_tiny, open_duel, runtime, state, write_game

SESSIONS = tuple(f"s{number}" for number in range(6))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("agent")


@pytest.fixture
def made(folder: Path) -> Iterator[AgentRuntime]:
    with runtime(load_tiny(folder), write_game(folder)) as opened:
        open_duel(opened, Mode.STAR, sessions=SESSIONS)
        opened.put_state("m", 0, state=state())
        yield opened


def turns(made: AgentRuntime) -> list[PendingTurn]:
    return [made.begin_turn(ask(1, session=session)) for session in SESSIONS]


def test_they_are_one_forward_even_if_the_engine_is_idle(made: AgentRuntime) -> None:
    served = made.served_model()
    served.prefetcher.finish(30)
    runner = served.engine.runner
    before = runner.forwards
    results = run_together(turns(made))
    assert runner.forwards == before + 1
    assert [result.session for result in results] == list(SESSIONS)
    assert {result.account.forwards for result in results if result.account} == {1}
    assert run_together([]) == []


def test_one_that_is_cancelled_or_fails_costs_the_others_nothing(
    made: AgentRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = turns(made)
    together[1].cancel()
    real, unlucky = PendingTurn._staged, together[2]

    def staged(turn: PendingTurn, *options: object) -> object:
        if turn is unlucky:
            raise RuntimeError("the disk is gone")
        return real(turn, *options)  # type: ignore[arg-type]

    monkeypatch.setattr(PendingTurn, "_staged", staged)
    outcomes = [result.outcome for result in run_together(together)]
    assert outcomes == [Outcome.OK, Outcome.CANCELLED, Outcome.ERROR, *[Outcome.OK] * 3]


def test_after_the_end_they_all_fail_with_a_sentence(folder: Path) -> None:
    served = serve_model("default", load_tiny(folder), MemoryStore(), pool_mib=16, max_rows=512, probed=False)
    closing = AgentRuntime({"default": served}, games=[write_game(folder)])
    open_duel(closing, Mode.STAR, sessions=SESSIONS)
    closing.put_state("m", 0, state=state())
    together = turns(closing)
    closing.close()
    results = run_together(together)
    assert {(result.outcome, result.message) for result in results} == {(Outcome.ERROR, str(EngineClosed()))}


def test_an_interrupt_cancels_them_all(made: AgentRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    together, gate = turns(made), threading.Event()
    made.served_model().engine.soon(gate.wait)

    def interrupted(turn: PendingTurn) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(PendingTurn, "_finished", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_together(together)
    assert all(turn._cancelled for turn in together)
    gate.set()
