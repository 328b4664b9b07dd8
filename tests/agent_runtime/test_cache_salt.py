"""What is computed for matches of one `cache_salt` is found by no match of another, in any mode."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_runtime.engine.loading import LoadedModel
from agent_runtime.errors import BadState
from agent_runtime.runtime import AgentRuntime
from agent_runtime.token_blocks import BlockTokenizer, KeyMaker
from agent_runtime.turn import MatchSpec, Mode, SessionSpec, TurnApplied
from prompts import Block
from prompts.block import Lifetime, Role
from tests.agent_runtime.worlds import GAME, account, load_tiny, logprobs, play, runtime, state, write_game

BLOCK_MODES = (Mode.STAR, Mode.ANCHORED)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_tiny(tmp_path_factory.mktemp("models"))


@pytest.fixture
def games(tmp_path: Path) -> Iterator[Path]:
    yield write_game(tmp_path / "games")


def start(made: AgentRuntime, match: str, mode: Mode, salt: str, session: str | None = None) -> str:
    """A match with one session that is ready; returns the session's name."""
    session = session or f"s-{match}"
    made.open_match(MatchSpec(match, GAME, mode=mode, cache_salt=salt))
    made.put_state(match, 0, state=state())
    made.open_session(SessionSpec(session, match, persona="fox", persona_text="You are sly."))
    made.put_block(session, "plan", "Feint to the north.")
    made.served_model().prefetcher.finish(60)
    return session


def encoded_ahead(made: AgentRuntime) -> int:
    """How many tokens were computed in the background since the last look."""
    ledger = made.served_model().prefetcher.ledger
    rows, ledger.rows = ledger.rows, 0
    return ledger.rows + rows


@pytest.mark.parametrize("mode", list(Mode))
def test_nothing_is_shared_between_salts_and_everything_within_one(
    loaded: LoadedModel, games: Path, mode: Mode
) -> None:
    with runtime(loaded, games) as made:
        costs, answers = {}, {}
        for match, salt in (("one", ""), ("two", "north"), ("three", "south"), ("four", "north"), ("five", "")):
            session = start(made, match, mode, salt)
            ahead = encoded_ahead(made)
            result = play(made, 1, session=session)
            costs[match] = ahead, account(result).tokens_cached, account(result).tokens_computed
            answers[match] = logprobs(result)
            made.served_model().prefetcher.finish(60)
    first = costs["one"][0]
    assert costs["two"] == costs["three"] == costs["one"], "each began with nothing"
    for sharing in ("four", "five"):
        if mode is Mode.FULL:
            assert costs[sharing] == costs["one"] and first == 0
        else:
            assert costs[sharing][0] < first, "what the other match of its salt has computed was there"
    for match in answers:
        assert answers[match] == pytest.approx(answers["one"], abs=1e-5), "a salt is no part of what is computed"


@pytest.mark.parametrize("mode", [Mode.PREFIX, *BLOCK_MODES])
def test_turns_find_nothing_of_another_salt_either(loaded: LoadedModel, games: Path, mode: Mode) -> None:
    """Without anything computed ahead: the turn's own forward has to compute it all again."""
    with runtime(loaded, games) as made:
        made._prefetches = False
        counts = []
        for match, salt in (("one", "north"), ("two", "south"), ("three", "south")):
            made.open_match(MatchSpec(match, GAME, mode=mode, cache_salt=salt))
            made.put_state(match, 0, state=state())
            made.open_session(SessionSpec(f"s-{match}", match), lambda ready: None)
            counts.append(account(play(made, 1, session=f"s-{match}")))
    assert counts[0].tokens_cached == counts[1].tokens_cached
    assert counts[2].tokens_cached > counts[1].tokens_cached or counts[2].encoded == 0


@pytest.mark.parametrize("mode", BLOCK_MODES)
def test_blocks_on_disk_are_found_under_their_own_salt_only(
    loaded: LoadedModel, games: Path, tmp_path: Path, mode: Mode
) -> None:
    with runtime(loaded, games, store=tmp_path / "store") as made:
        start(made, "one", mode, "north")
        made.flush("one")
    with runtime(loaded, games, store=tmp_path / "store") as made:
        opened = []
        for match, salt in (("two", "south"), ("three", ""), ("four", "north")):
            made.open_match(MatchSpec(match, GAME, mode=mode, cache_salt=salt))
            made.put_state(match, 0, state=state())
            made.open_session(SessionSpec(f"s-{match}", match), opened.append)
            made.served_model().prefetcher.finish(60)
        assert [ready.loaded > 0 for ready in opened] == [False, False, True]
        assert opened[0].encoded == opened[1].encoded == opened[2].loaded > 0


@pytest.mark.parametrize("mode", BLOCK_MODES)
def test_a_session_of_the_same_name_under_another_salt_takes_nothing_over(
    loaded: LoadedModel, games: Path, mode: Mode
) -> None:
    """Its private blocks, its persona and its history are keyed by its name; the salt keeps them apart all the same."""
    with runtime(loaded, games) as made:
        ahead = []
        for match, salt in (("one", "north"), ("two", "south")):
            session = start(made, match, mode, salt, session="s")
            play(made, 1, session=session)
            made.apply_turn(TurnApplied(session, 1, True))
            made.served_model().prefetcher.finish(60)
            ahead.append(encoded_ahead(made))
            made.close_match(match)
        assert ahead[0] == ahead[1] > 0


def test_a_match_keeps_its_salt_through_a_restart_and_is_not_opened_with_another(
    loaded: LoadedModel, games: Path, tmp_path: Path
) -> None:
    with runtime(loaded, games, store=tmp_path / "store") as made:
        start(made, "one", Mode.STAR, "north")
        for salt in ("", "south"):
            with pytest.raises(BadState, match="another cache_salt") as error:
                made.open_match(MatchSpec("one", GAME, cache_salt=salt))
            assert "north" not in str(error.value)
        assert made.open_match(MatchSpec("one", GAME, cache_salt="north")).resumed
        made.flush("one")
    with runtime(loaded, games, store=tmp_path / "store") as made:
        with pytest.raises(BadState, match="another cache_salt"):
            made.open_match(MatchSpec("one", GAME))
        assert made.open_match(MatchSpec("one", GAME, cache_salt="north")).resumed
        ready = []
        made.open_session(SessionSpec("s-one", "one"), ready.append)
        made.served_model().prefetcher.finish(60)
        assert ready[0].encoded == 0 and ready[0].loaded > 0


def test_without_a_salt_keys_are_what_they_were_and_with_one_no_name_can_feign_another(loaded: LoadedModel) -> None:
    keys = KeyMaker("a model")
    tokenizer = BlockTokenizer(loaded.text, keys)
    blocks = (
        Block("duel/rules", "Answer.\n", Role.ANCHOR, Lifetime.GAME),
        Block("unit/a", "A unit.\n", Role.STATE, Lifetime.MATCH),
        Block("plan", "A plan.\n", Role.PRIVATE, Lifetime.SESSION),
    )

    def made(game: str, session: str, salt: str) -> list[str]:
        return [block.key for block in tokenizer.blocks(blocks, Mode.STAR, game, session, salt)]

    rules, unit, plan = tokenizer.blocks(blocks, Mode.STAR, "duel", "s", "")
    assert rules.key == keys.key("game:duel", [], rules.ids)
    assert (unit.key, plan.key) == (keys.key("game:duel", [], unit.ids), keys.key("session:s", [], plan.ids))
    seen = [made("duel", "s", salt) for salt in ("", "x", "x:game:duel", "1:x")] + [
        made(game, "s", salt) for game, salt in (("duel:game:duel", "x"), ("salt:1:x:game:duel", ""))
    ]
    for each in zip(*seen, strict=True):
        # The session's name is the same throughout: its block differs by salt alone.
        assert len(set(each)) == len(seen) if each[0] != plan.key else len(set(each)) == 4
