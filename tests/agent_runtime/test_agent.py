"""agent_runtime.agent: what is taken and how it ends; turns played together share a forward, each ends for itself."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_runtime.agent import PendingTurn, run_together
from agent_runtime.block_cache import MemoryStore
from agent_runtime.engine.errors import EngineClosed
from agent_runtime.errors import PromptTooLong
from agent_runtime.runtime import AgentRuntime
from agent_runtime.served_model import serve_model
from agent_runtime.turn import ActionOption, Decide, Mode, Outcome
from tests.agent_runtime.worlds import ask, load_tiny, open_duel, play, runtime, state, write_game

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


def test_the_longest_prompt_that_is_taken_leaves_room_for_all_that_can_follow(made: AgentRuntime) -> None:
    endless = {"type": "object", "properties": {"n": {"type": "string", "minLength": 2000}}, "required": ["n"]}
    options: dict[str, Any] = {"actions": (ActionOption("go", schema=endless),), "decide": Decide(think_tokens=5)}
    fits, too_long = 0, 3000
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        try:
            made.begin_turn(ask(middle, session="s0", observation="a " * middle, **options))
            fits = middle
        except PromptTooLong:
            too_long = middle
        made.session("s0").last_turn_id = None
    result = play(made, 1, session="s0", observation="a " * fits, **options)
    assert result.outcome is Outcome.TRUNCATED, result.message


def test_a_cancelled_turn_says_so_and_gives_everything_back(made: AgentRuntime) -> None:
    turn = made.begin_turn(ask(1, session="s0"))
    turn.cancel()
    assert turn.run().outcome is Outcome.CANCELLED
    assert play(made, 2, session="s0").outcome is Outcome.OK
