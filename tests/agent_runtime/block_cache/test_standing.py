"""What a turn leaves to the next one of its session: found again as it stood, and no obstacle to anybody."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from agent_runtime.block_cache import Staged
from agent_runtime.engine.forward import Logits
from agent_runtime.engine.loading import LoadedModel
from agent_runtime.engine.span import Span
from agent_runtime.residents import Residents, Standing
from agent_runtime.runtime import AgentRuntime
from agent_runtime.turn import Mode, Outcome
from tests.agent_runtime.worlds import account, ask, load_tiny, logprobs, open_duel, play, runtime, state, write_game


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_tiny(tmp_path_factory.mktemp("models"))


@pytest.fixture
def games(tmp_path: Path) -> Path:
    return write_game(tmp_path / "games")


@pytest.fixture
def made(loaded: LoadedModel, games: Path) -> Iterator[AgentRuntime]:
    with runtime(loaded, games) as made:
        yield made


def residents(made: AgentRuntime) -> Residents:
    return made.served_model().cache.residents


def kept(made: AgentRuntime, session: str = "s") -> Standing | None:
    """What is kept of a session, behind all that the engine has to do; the books balance."""
    made.served_model().cache.written_behind(30)
    made.served_model().engine.ask(made.served_model().cache.check, 30)
    return made.served_model().engine.ask(lambda: residents(made).kept(session), 30)


def make_room(made: AgentRuntime, num_slots: int | None = None) -> None:
    count = made.served_model().cache.pool.num_slots if num_slots is None else num_slots
    made.served_model().engine.ask(lambda: residents(made).make_room(count), 30)


def moved(frame: int) -> dict[str, object]:
    """A patch that makes a block another one, as long as it was."""
    return {"patch": [{"op": "replace", "path": "/units/2/hp", "value": 20 + frame}]}


@pytest.mark.parametrize("mode", [Mode.STAR, Mode.ANCHORED])
def test_a_turn_places_what_has_changed_and_nothing_else(
    made: AgentRuntime, mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_duel(made, mode)
    made.put_state("m", 0, state=state())
    play(made, 0)
    before = kept(made)
    assert before is not None
    looked_up: list[list[str]] = []
    pin_known = residents(made).pin_known
    monkeypatch.setattr(residents(made), "pin_known", lambda keys: looked_up.append(list(keys)) or pin_known(keys))
    made.put_state("m", 1, **moved(1))
    play(made, 1, 1)
    after = kept(made)
    assert after is not None and all(each.pins == 1 for each in after.residents)
    changed = [new for old, new in zip(before.residents, after.residents, strict=True) if old is not new]
    assert [each.block.name for each in changed] == ["unit/u2"]
    assert looked_up == [[changed[0].block.key]]
    assert after.view.pieces[0] is before.view.pieces[0]
    play(made, 2, 1)
    assert looked_up[1:] == [[]] and kept(made).view is after.view  # type: ignore[union-attr]


def test_all_that_is_kept_is_given_back_before_a_turn_is_refused_and_is_encoded_again(made: AgentRuntime) -> None:
    open_duel(made)
    made.put_state("m", 0, state=state())
    play(made, 0)
    first = play(made, 1)
    assert kept(made) is not None
    make_room(made)
    assert kept(made) is None and made.served_model().cache.pool.num_free == made.served_model().cache.pool.num_slots
    again = play(made, 2)
    assert account(again).blocks_hit == 0 and account(again).blocks_encoded == account(first).blocks_hit
    assert logprobs(again) == pytest.approx(logprobs(first), abs=1e-5)


def test_sessions_that_see_the_same_blocks_pin_them_each_for_itself(made: AgentRuntime) -> None:
    open_duel(made, sessions=("s", "t"))
    made.put_state("m", 0, state=state())
    for session in ("s", "t"):
        play(made, 0, session=session)
    mine, other = kept(made), kept(made, "t")
    assert mine is not None and other is not None and mine.residents == other.residents and mine.view is other.view
    assert {each.pins for each in mine.residents} == {2}
    made.put_state("m", 1, **moved(1))
    play(made, 1, 1)
    assert sorted(each.pins for each in other.residents) == [1] + [2] * (len(other.residents) - 1)
    made.close_session("s")
    assert kept(made) is None
    assert {each.pins for each in other.residents} == {1}
    made.close_match("m")
    assert kept(made, "t") is None and {each.pins for each in other.residents} == {0}


def test_a_turn_that_outlives_its_session_leaves_nothing(made: AgentRuntime) -> None:
    open_duel(made)
    made.put_state("m", 0, state=state())
    turn = made.begin_turn(ask(0))
    made.close_session("s")
    assert turn.run().outcome is Outcome.OK
    assert kept(made) is None


def test_a_session_that_is_opened_again_in_another_mode_begins_anew(made: AgentRuntime) -> None:
    shown = []
    for match, mode in (("m", Mode.STAR), ("n", Mode.ANCHORED)):
        open_duel(made, mode, match=match)
        made.put_state(match, 0, state=state())
        play(made, 0)
        standing = kept(made)
        assert standing is not None and (standing.match, standing.mode) == (match, mode)
        shown.append(standing.view)
        made.close_session("s")
    assert shown[0].pieces[1].shift != shown[1].pieces[1].shift


@pytest.mark.parametrize("ends", [Mode.ANCHORED, Mode.STAR])
def test_a_standing_is_for_turns_of_its_mode_and_match_only(made: AgentRuntime, ends: Mode) -> None:
    open_duel(made)
    made.put_state("m", 0, state=state())
    play(made, 0)
    cache, before = made.served_model().cache, kept(made)
    assert before is not None
    prompt = made.begin_turn(ask(1)).prompt
    where = "m" if ends is Mode.ANCHORED else "elsewhere"

    def placed() -> bool:
        placement = cache.place(where, ends, prompt, cache.fetch(ends, prompt.blocks), "s")
        try:
            return placement.cursor.view is before.view
        finally:
            placement.release()

    assert made.served_model().engine.ask(placed, 30) is (ends is Mode.STAR)  # by the name that views go by
    assert kept(made) is None and {each.pins for each in before.residents} == {0}


def test_a_block_that_stands_at_two_places_stays_pinned_when_it_leaves_one(made: AgentRuntime) -> None:
    open_duel(made)
    made.put_state("m", 0, state=state())
    play(made, 0)
    cache, prompt = made.served_model().cache, made.begin_turn(ask(1)).prompt
    anchor, first, second = prompt.blocks[:3]

    def num_pins() -> list[int]:
        pins = []
        for blocks in ((anchor, first, second, first), (anchor, second, second, first)):
            placement = cache.place("m", Mode.STAR, replace(prompt, blocks=blocks), Staged(), "s")
            assert placement.standing is not None and not placement.riding
            pins.append(placement.standing.residents[3].pins)
            placement.settle()
            placement.release()
        return pins

    assert made.served_model().engine.ask(num_pins, 30) == [1, 1]
    assert kept(made) is None


def test_a_forward_that_fails_leaves_nothing_and_the_next_turn_is_as_if_it_had_never_been(
    made: AgentRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_duel(made, sessions=("s", "t"))
    made.put_state("m", 0, state=state())
    for session in ("s", "t"):
        play(made, 0, session=session)
    made.put_state("m", 1, **moved(1))

    def broken(spans: Sequence[Span], is_stopped: object) -> Logits:
        raise RuntimeError("a device that fails")

    with monkeypatch.context() as failing:
        failing.setattr(made.served_model().engine.runner, "run", broken)
        assert play(made, 1, 1).outcome is Outcome.ERROR
    assert kept(made) is None and kept(made, "t") is not None
    expected = play(made, 1, 1, session="t")
    assert account(expected).blocks_encoded == 1
    assert logprobs(play(made, 2, 1)) == pytest.approx(logprobs(expected), abs=1e-5)


def test_what_was_forgotten_while_a_session_kept_it_is_not_found_there(made: AgentRuntime) -> None:
    open_duel(made)
    made.put_state("m", 0, state=state())
    play(made, 0)
    standing = kept(made)
    assert standing is not None
    made.served_model().engine.ask(lambda: residents(made).forget(standing.residents[1]), 30)
    assert account(play(made, 1)).blocks_encoded == 1
    again = kept(made)
    assert again is not None and again.residents[1] is not standing.residents[1]


def test_a_match_that_is_closed_and_opened_again_has_its_blocks_linked_again(
    loaded: LoadedModel, games: Path, tmp_path: Path
) -> None:
    with runtime(loaded, games, store=tmp_path / "store") as made:
        open_duel(made)
        made.put_state("m", 0, state=state())
        play(made, 0)
        made.flush("m")
        cache = made.served_model().cache
        cache.forget_match("m")
        cache.open_match("m")
        assert kept(made) is not None
        assert len(account(play(made, 1)).not_durable) == 8  # all that it sees
        made.flush("m")
        assert account(play(made, 2)).not_durable == ()
