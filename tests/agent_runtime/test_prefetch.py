"""What is brought into the pool while no turn waits, and what becomes of it when the engine goes away."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from agent_runtime.engine.errors import EngineClosed
from agent_runtime.engine.loading import LoadedModel
from agent_runtime.engine.scheduler import BACKGROUND_ROWS
from agent_runtime.errors import PromptTooLong
from agent_runtime.prefetch import _Run
from agent_runtime.runtime import AgentRuntime
from agent_runtime.turn import (
    MatchSpec,
    Mode,
    Outcome,
    SessionReady,
    SessionSpec,
)
from tests.agent_runtime.worlds import (
    GAME,
    account,
    ask,
    load_tiny,
    open_duel,
    play,
    runtime,
    state,
    write_game,
)
from tests.tiny_models import CONTEXT


class ClosedEngine:
    def submit(self, script: object, **options: Any) -> None:
        raise EngineClosed


@pytest.mark.parametrize("at_once", [1, 2000])
def test_any_number_of_scripts_ends_with_the_engine(at_once: int) -> None:
    ended: list[_Run] = []
    scripts: Sequence[Any] = [iter(())] * 2000
    run = _Run(ClosedEngine(), scripts, at_once=at_once, on_end=ended.append)  # type: ignore[arg-type]
    run.start()
    assert run.ended.done() and ended == [run]
    assert (run.rows, run.forwards) == (0, 0)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_tiny(tmp_path_factory.mktemp("models"))


@pytest.fixture
def made(loaded: LoadedModel, tmp_path: Path) -> Iterator[AgentRuntime]:
    with runtime(loaded, write_game(tmp_path / "games")) as made:
        yield made


def brought(made: AgentRuntime, mode: Mode, num_units: int) -> SessionReady:
    ready: Future[SessionReady] = Future()
    made.open_match(MatchSpec("m", GAME, mode=mode))
    made.put_state("m", 0, state=state(num_units))
    made.open_session(SessionSpec("s", "m"), ready.set_result)
    return ready.result(60)


def test_what_a_prefix_session_will_see_is_computed_once(made: AgentRuntime) -> None:
    ready = brought(made, Mode.PREFIX, 50)
    assert ready.tokens > 4 * BACKGROUND_ROWS
    assert (ready.encoded, ready.shared) == (ready.tokens, 0)
    assert made.served_model().prefetcher.ledger.rows == ready.tokens
    assert account(play(made, 0)).tokens_cached >= ready.tokens


@pytest.mark.parametrize("mode", [Mode.PREFIX, Mode.STAR, Mode.ANCHORED])
def test_what_goes_beyond_the_context_is_not_brought_and_disturbs_nobody(made: AgentRuntime, mode: Mode) -> None:
    long = {"clock": 1, "units": [{"id": "u", "is": "x " * 2 * CONTEXT}, *state(90)["units"]]}
    ready: Future[SessionReady] = Future()
    open_duel(made, match="other")
    made.put_state("other", 0, state=state())
    made.open_match(MatchSpec("m", GAME, mode=mode))
    made.put_state("m", 0, state=long)
    turn = made.begin_turn(ask(0))
    made.open_session(SessionSpec("long", "m"), ready.set_result)
    assert turn.run().outcome is Outcome.OK
    assert ready.result(60).encoded < CONTEXT * 2
    with pytest.raises(PromptTooLong):
        play(made, 0, session="long")
    made.put_state("m", 1, state=state())
    assert play(made, 1, 1, session="long").outcome is Outcome.OK


def test_opening_a_session_encodes_what_it_sees_at_once(made: AgentRuntime) -> None:
    made.open_match(MatchSpec("m", "duel", mode=Mode.STAR))
    made.put_state("m", 0, state=state())
    reports: list[SessionReady] = []
    for name in ("first", "second"):
        done = threading.Event()

        def ready(report: SessionReady, done: threading.Event = done) -> None:
            reports.append(report)
            done.set()

        made.open_session(SessionSpec(name, "m"), ready)
        assert done.wait(30)
    assert reports[0].encoded == reports[0].tokens == reports[1].shared
    assert account(play(made, 1, session="first")).blocks_encoded == 0


def test_opening_a_session_in_prefix_mode_says_what_was_computed(made: AgentRuntime) -> None:
    made.open_match(MatchSpec("m", "duel", mode=Mode.PREFIX))
    made.put_state("m", 0, state=state())
    reports: list[SessionReady] = []
    for name in ("first", "second"):
        done = threading.Event()

        def ready(report: SessionReady, done: threading.Event = done) -> None:
            reports.append(report)
            done.set()

        made.open_session(SessionSpec(name, "m"), ready)
        assert done.wait(30)
    assert (reports[0].encoded, reports[0].shared) == (reports[0].tokens, 0)
    assert (reports[1].encoded, reports[1].shared) == (0, reports[1].tokens)
