"""agent_runtime.anticipation: what is brought before a turn, and for whom nothing is."""

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from agent_runtime.anticipation import bring_all, bring_history
from agent_runtime.runtime import AgentRuntime
from agent_runtime.turn import Action, Mode, SessionReady, TurnApplied
from tests.agent_runtime.worlds import load_tiny, open_duel, play, runtime, state, write_game


@pytest.fixture
def made(tmp_path: Path) -> Iterator[AgentRuntime]:
    with runtime(load_tiny(tmp_path), write_game(tmp_path / "games")) as made:
        yield made


def test_without_prefetching_a_session_is_ready_at_once_and_nothing_was_computed(made: AgentRuntime) -> None:
    open_duel(made)
    made.put_state("m", 0, state=state())
    told: list[SessionReady] = []
    bring_all(made.session("s"), told.append, prefetches=False)
    (ready,) = told
    assert ready.tokens > 0 and (ready.encoded, ready.loaded, ready.shared) == (0, 0, 0)
    brought: Future[SessionReady] = Future()
    bring_all(made.session("s"), brought.set_result, prefetches=True)
    assert brought.result(30).tokens == ready.tokens == brought.result().encoded + brought.result().shared


@pytest.mark.parametrize("mode", [Mode.STAR, Mode.PREFIX])
def test_history_is_encoded_ahead_where_it_is_a_block_of_its_own(made: AgentRuntime, mode: Mode) -> None:
    open_duel(made, mode)
    made.put_state("m", 0, state=state())
    session, prefetcher = made.session("s"), made.served_model().prefetcher
    play(made, 1)
    made.apply_turn(TurnApplied("s", 1, True, action=Action("hold")))
    prefetcher.finish(30)
    computed = prefetcher.ledger.rows
    # Another block than the one that apply_turn has had encoded.
    newest = session.own_blocks()[2][-1]
    bring_history(session, type(newest)(newest.name, f"{newest.text}once more\n", newest.role, newest.lifetime))
    prefetcher.finish(30)
    assert (prefetcher.ledger.rows > computed) == (mode is Mode.STAR)
