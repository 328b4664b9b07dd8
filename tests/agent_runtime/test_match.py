"""Matches and sessions: what they remember of their turns, and what of it outlives the process."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_runtime.engine.loading import LoadedModel
from agent_runtime.errors import NameTaken, UnknownName, UnknownTurn
from agent_runtime.runtime import AgentRuntime
from agent_runtime.turn import (
    Action,
    MatchSpec,
    Mode,
    Outcome,
    SessionSpec,
    TurnApplied,
)
from kv_store.errors import BadDocument
from tests.agent_runtime.worlds import (
    account,
    ask,
    load_tiny,
    logprobs,
    open_duel,
    play,
    runtime,
    standing_still,
    state,
    write_game,
)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_tiny(tmp_path_factory.mktemp("models"))


@pytest.fixture
def made(loaded: LoadedModel, tmp_path: Path) -> Iterator[AgentRuntime]:
    with runtime(loaded, write_game(tmp_path / "games")) as made:
        yield made


@pytest.mark.parametrize("mode", [Mode.STAR, Mode.PREFIX])
def test_history_holds_what_was_applied_and_never_depends_on_timing(
    loaded: LoadedModel, tmp_path: Path, mode: Mode
) -> None:
    seen = []
    for waits in (True, False):
        with runtime(loaded, write_game(tmp_path / "games")) as made:
            open_duel(made, mode)
            made.put_state("m", 0, state=state())
            for turn in range(4):
                last = play(made, turn)
                made.apply_turn(TurnApplied("s", turn, True, action=Action("attack"), reward=0.5))
                if waits:
                    made.served_model().prefetcher.finish(30)
            seen.append((logprobs(last), account(last).tokens_prompt))
            names = [block.name for block in made.session("s").own_blocks()[2]]
            assert names == ["history/2", "history/3"]
            assert "attack" in made.session("s").own_blocks()[2][0].text
    assert seen[0][1] == seen[1][1]
    assert seen[0][0] == pytest.approx(seen[1][0], abs=1e-4)


def test_a_failed_action_joins_the_next_attempt_and_not_the_history(made: AgentRuntime) -> None:
    open_duel(made)
    made.put_state("m", 0, state=state())
    play(made, 1)
    made.apply_turn(TurnApplied("s", 1, False, message="the gate is shut"))
    turn = made.begin_turn(ask(2))
    assert "the gate is shut" in made.served_model().loaded.text.decode(turn.prompt.observation)
    turn.run()
    assert made.session("s").own_blocks()[2] == ()


def test_a_turn_applied_twice_or_late_stands_once_and_in_its_place(made: AgentRuntime) -> None:
    open_duel(made)
    made.put_state("m", 0, state=state())
    for turn in range(1, 5):
        play(made, turn)

    def history() -> list[str]:
        return [block.name for block in made.session("s").own_blocks()[2]]

    for turn in (2, 1, 1, 2):
        made.apply_turn(TurnApplied("s", turn, True, action=Action("attack")))
    assert history() == ["history/1", "history/2"]
    made.apply_turn(TurnApplied("s", 2, True, action=Action("go north")))
    assert "go north" in made.session("s").own_blocks()[2][1].text
    for turn in (3, 4, 1):
        made.apply_turn(TurnApplied("s", turn, True))
    assert history() == ["history/3", "history/4"]


def test_what_a_game_did_instead_is_taken_before_the_turn_that_was_too_late_has_ended(made: AgentRuntime) -> None:
    open_duel(made)
    made.put_state("m", 0, state=state())
    play(made, 0)
    served, session = made.served_model(), made.session("s")
    served.prefetcher.finish(30)
    with standing_still(served.engine):
        late = made.begin_turn(ask(1))
        thread = threading.Thread(target=late.run)
        thread.start()
        with pytest.raises(UnknownTurn, match="Session 's' has no finished turn 1"):
            made.apply_turn(TurnApplied("s", 1, True))  # what was it that was done?
        made.apply_turn(TurnApplied("s", 1, True, action=Action("hold")))
        assert [entry.action_text for entry in session.history] == ["hold"]
    thread.join(30)
    assert not session.under_way
    assert account(play(made, 2)).forwards == 1


def test_a_finished_turn_is_kept_at_once(loaded: LoadedModel, tmp_path: Path) -> None:
    games, store = write_game(tmp_path / "games"), tmp_path / "store"
    with runtime(loaded, games, store=store) as made:
        open_duel(made)
        made.put_state("m", 0, state=state())
        result = made.begin_turn(ask(3), body_digest="abc").run()
        # Before anything else writes the session: what the client has seen must outlive a kill.
        document = made._keeper.session(SessionSpec("s", "m"))
        assert document is not None and document["last_turn_id"] == 3
    with runtime(loaded, games, store=store) as made:
        open_duel(made)
        stored = made.stored_result("s", 3, "abc")
        assert stored is not None and stored.action == result.action
        made.apply_turn(TurnApplied("s", 3, True))


def test_closing_a_match_ends_also_the_sessions_that_nobody_took_up_again(loaded: LoadedModel, tmp_path: Path) -> None:
    games, store = write_game(tmp_path / "games"), tmp_path / "store"
    with runtime(loaded, games, store=store) as made:
        open_duel(made, sessions=("s", "t"))
        made.put_state("m", 0, state=state())
        play(made, 5, session="t")
    with runtime(loaded, games, store=store) as made:
        open_duel(made, sessions=("s",))
        made.close_match("m")
        made.open_match(MatchSpec("m", "duel"))
        assert made.open_session(SessionSpec("t", "m")).resumed is False


def test_a_session_that_the_store_keeps_for_another_match_is_not_taken_over(
    loaded: LoadedModel, tmp_path: Path
) -> None:
    games, store = write_game(tmp_path / "games"), tmp_path / "store"
    with runtime(loaded, games, store=store) as made:
        open_duel(made)
        made.put_state("m", 0, state=state())
        play(made, 5)
    with runtime(loaded, games, store=store) as made:
        made.open_match(MatchSpec("n", "duel"))
        with pytest.raises(NameTaken, match="belongs to match"):
            made.open_session(SessionSpec("s", "n"))
        open_duel(made)
        assert made.session("s").last_turn_id == 5


def test_a_session_whose_persona_is_gone_says_so(loaded: LoadedModel, tmp_path: Path) -> None:
    games, store = write_game(tmp_path / "games"), tmp_path / "store"
    (games / "duel" / "personas").mkdir()
    (games / "duel" / "personas" / "brave.md").write_text("You are brave.\n", encoding="utf-8")
    with runtime(loaded, games, store=store) as made:
        open_duel(made, persona="brave")
    (games / "duel" / "personas" / "brave.md").unlink()
    with runtime(loaded, games, store=store) as made:
        made.open_match(MatchSpec("m", "duel"))
        with pytest.raises(UnknownName, match="persona named 'brave'"):
            made.open_session(SessionSpec("s", "m"))


def test_a_match_that_cannot_be_kept_is_not_open(loaded: LoadedModel, tmp_path: Path) -> None:
    with runtime(loaded, write_game(tmp_path / "games"), store=tmp_path / "store") as made:
        with pytest.raises(BadDocument):
            made.open_match(MatchSpec("a\0b", "duel"))
        with pytest.raises(UnknownName):
            made.match("a\0b")


def test_turns_that_found_no_room_may_be_asked_again_newest_first(made: AgentRuntime) -> None:
    open_duel(made)
    made.put_state("m", 0, state=state())
    session = made.session("s")
    play(made, 1)
    for turn in (2, 3):
        made.begin_turn(ask(turn))
    assert [session.unsee(turn) for turn in (2, 3, 2)] == [False, True, True]
    assert session.last_turn_id == 1
    assert play(made, 2).outcome is Outcome.OK
