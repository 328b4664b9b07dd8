"""Matches side by side are the matches that one would play one after the other, and none outlives its end."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from agent_runtime.engine.loading import LoadedModel
from agent_runtime.seat import Seat
from agent_runtime.tuning.errors import MatchFailed
from agent_runtime.tuning.evaluating.players import ModelPlayer, Rule, at_random, by_expert
from agent_runtime.tuning.evaluating.playing import Choice, Matches, Pair, Played, Turn
from game_adapters import load_adapter, make_env
from game_adapters.errors import ExpertLost
from game_adapters.experts import best_actions, load_expert
from tests.agent_runtime.worlds import load_tiny
from tests.game_adapters.lamps_game import LampsEnv, ParallelLamps, PlainLamps

GAMES: dict[str, dict[str, Any]] = {
    "tic_tac_toe": {},
    "leduc": {},
    "texas_holdem": {"hands": 2},
    "camp": {"ticks": 2, "npcs": 2, "blocks": 20},
}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return replace(load_tiny(tmp_path_factory.mktemp("models")), context_limit=16384)


def pairs_of(game: str, number: int) -> list[Pair]:
    seats = make_env(game, 0, **GAMES[game]).possible_agents
    return [Pair(i, 5 + i // len(seats), seats[i % len(seats)]) for i in range(number)]


def matches_of(game: str, at_once: int, opponent: Any = None, judge: Any = None) -> Matches:
    opponent = at_random(load_adapter(game)) if opponent is None else opponent
    return Matches(game, lambda seed: make_env(game, seed, **GAMES[game]), opponent, at_once, judge)


def in_order(played: Any) -> list[Played]:
    return sorted(played, key=lambda each: each.pair.number)


def one_by_one(game: str, pair: Pair, loaded: LoadedModel, mode: str) -> Played:
    """The same match by PettingZoo's own loop, with a seat of its own."""
    adapter, judge = load_adapter(game), load_expert(game)
    env = make_env(game, pair.seed, **GAMES[game])
    found = Played(pair)
    steps = itertools.count()
    with Seat(game, loaded, mode=mode, how="best", pool_mib=16) as seat:
        for agent in env.agent_iter():
            _, reward, terminated, truncated, _ = env.last()
            if agent == pair.seat:
                found.reward += float(reward)
            if terminated or truncated:
                env.step(None)
                continue
            step = next(steps)
            if agent == pair.seat:
                right = best_actions(judge, env, agent) or {judge.choose(env, agent)}
                action = seat.act(env, agent)
                assert action is not None and seat.last_result is not None
                found.decisions += 1
                found.legal_mass += seat.last_result.legal_mass or 0.0
                found.judged += 1
                found.agreed += action in right
            else:
                view = adapter.turn(env, agent)
                assert view is not None
                drawn = Random(f"{pair.seed}/{pair.seat}/{agent}/{step}")
                action = drawn.choice(view.actions).number
            env.step(action)
    return found


@pytest.mark.parametrize(("game", "mode"), [*zip(GAMES, ("full", "star", "anchored", "full"), strict=True)])
def test_matches_side_by_side_are_those_that_are_played_one_by_one(game: str, mode: str, loaded: LoadedModel) -> None:
    pairs = pairs_of(game, 6)
    with Seat(game, loaded, mode=mode, how="best", pool_mib=32) as seat:
        together = in_order(matches_of(game, 4, judge=load_expert(game)).play(ModelPlayer(seat), pairs))
    assert sum(each.decisions for each in together) > len(pairs)
    for each in together:
        alone = one_by_one(game, each.pair, loaded, mode)
        assert each.legal_mass == pytest.approx(alone.legal_mass, rel=1e-3)
        assert replace(each, legal_mass=0.0, legal_anyway=0) == replace(alone, legal_mass=0.0)


@pytest.mark.parametrize("game", GAMES)
def test_how_many_are_played_at_once_changes_nothing(game: str) -> None:
    adapter, expert = load_adapter(game), load_expert(game)
    opponent = by_expert(adapter, expert, 0.3)
    found = [
        in_order(matches_of(game, at_once, opponent, expert).play(at_random(adapter), pairs_of(game, 12)))
        for at_once in (1, 5, 100)
    ]
    assert found[0] == found[1] == found[2]
    assert len({(each.reward, each.decisions, each.agreed) for each in found[0]}) > 1
    assert [each.pair for each in found[0]] == pairs_of(game, 12)


def test_a_seat_forgets_the_matches_that_are_over(loaded: LoadedModel) -> None:
    with Seat("leduc", loaded, mode="star", how="best", pool_mib=16) as seat:
        list(matches_of("leduc", 3).play(ModelPlayer(seat), pairs_of("leduc", 9)))
        assert not seat.runtime._matches


class Watched(LampsEnv):
    """Says when it is made and closed."""

    def __init__(self, open_ones: list[Any], **options: Any) -> None:
        super().__init__(**options)
        self._open_ones = open_ones
        open_ones.append(self)

    def close(self) -> None:
        self._open_ones.remove(self)


def lamps(made: Any, at_once: int = 3) -> Matches:
    adapter = load_adapter("tests.game_adapters.lamps_game:Lamps")

    def make(seed: int) -> Any:
        env = made()
        env.reset(seed=seed)
        return env

    return Matches("lamps", make, at_random(adapter), at_once)


LAMP_PAIRS = [Pair(i, i // 2, f"player_{i % 2}") for i in range(8)]


def test_every_environment_is_closed_also_when_the_caller_goes_away() -> None:
    open_ones: list[Any] = []
    player = at_random(load_adapter("tests.game_adapters.lamps_game:Lamps"))
    playing = lamps(lambda: Watched(open_ones)).play(player, LAMP_PAIRS)
    next(playing)
    assert len(open_ones) == 2, "the one that is over is closed, and those beside it play on"
    assert len(list(playing)) == 7 and not open_ones
    playing = lamps(lambda: Watched(open_ones)).play(player, LAMP_PAIRS)
    next(playing)
    playing.close()
    assert not open_ones


def test_an_agent_that_acts_beside_others_is_played_too() -> None:
    adapter = load_adapter("tests.game_adapters.lamps_game:Lamps")
    plain = type(adapter)("lamps", PlainLamps())
    asked: list[str] = []

    def decide(turn: Turn) -> int:
        asked.append(turn.waiting.agent)
        return 0

    matches = replace(lamps(ParallelLamps), opponent=Rule(lambda turn: plain_choice(plain, turn)))
    played = in_order(matches.play(Rule(decide), LAMP_PAIRS[:4]))
    assert [each.reward for each in played] == [0.0] * 4, "who passes gains nothing"
    assert {*asked} == {"player_0", "player_1"} and sum(each.decisions for each in played) == len(asked)


def plain_choice(adapter: Any, turn: Turn) -> int:
    view = adapter.turn(*turn.waiting)
    return int(Random(turn.draws).choice(view.actions).number)


class Slippery(Watched):
    """Raises in the match of one seed."""

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        super().reset(seed, options)
        self.seed = seed

    def step(self, action: int | None) -> None:
        if self.seed == 2:
            raise IndexError("off the board")
        super().step(action)


def test_an_environment_that_raises_is_told_with_its_match() -> None:
    open_ones: list[Any] = []
    player = at_random(load_adapter("tests.game_adapters.lamps_game:Lamps"))
    with pytest.raises(MatchFailed, match="match of lamps with seed 2 and the player as player_[01] .*off the board"):
        list(lamps(lambda: Slippery(open_ones)).play(player, LAMP_PAIRS))
    assert not open_ones


@pytest.mark.parametrize("is_player", [True, False])
def test_an_expert_that_is_lost_is_told_with_its_match(is_player: bool) -> None:
    adapter = load_adapter("leduc")

    class Lost:
        def choose(self, env: Any, agent: str) -> int:
            if env.leduc_seed == 7:
                raise ExpertLost("leduc", "it fell asleep")
            return int(adapter.turn(env, agent).actions[0].number)  # type: ignore[union-attr]

    def make(seed: int) -> Any:
        env = make_env("leduc", seed)
        env.leduc_seed = seed
        return env

    sides = (by_expert(adapter, Lost()), at_random(adapter))
    player, opponent = sides if is_player else sides[::-1]
    with pytest.raises(MatchFailed, match="leduc with seed 7 and the player as player_[01] .*it fell asleep") as failed:
        list(Matches("leduc", make, opponent, 4).play(player, pairs_of("leduc", 8)))
    assert failed.value.seat in ("player_0", "player_1") and isinstance(failed.value.__cause__, ExpertLost)


def test_of_turns_asked_together_the_one_that_fails_is_found(loaded: LoadedModel) -> None:
    adapter = load_adapter("leduc")

    class Together:
        """Refuses a whole batch for one of it, as a seat does."""

        def choose(self, turns: Sequence[Turn]) -> list[Choice]:
            if any(turn.draws.startswith("6/player_1/") for turn in turns):
                raise ExpertLost("leduc", "not this one")
            return at_random(adapter).choose(turns)

        def leave(self, env: Any) -> None:
            pass

    with pytest.raises(MatchFailed) as failed:
        list(matches_of("leduc", 6).play(Together(), pairs_of("leduc", 6)))
    assert (failed.value.seed, failed.value.seat) == (6, "player_1")
    # A prompt that is too long for the model is the model's refusal, and told the same way.
    with Seat("leduc", replace(loaded, context_limit=40), how="best", pool_mib=16) as seat:
        with pytest.raises(MatchFailed, match="leduc with seed 5 .*40"):
            list(matches_of("leduc", 2).play(ModelPlayer(seat), pairs_of("leduc", 2)))


def test_a_judge_that_is_lost_judges_nothing() -> None:
    class Lost:
        def choose(self, env: Any, agent: str) -> int:
            raise ExpertLost("leduc", "it fell asleep")

    player = at_random(load_adapter("leduc"))
    played = list(matches_of("leduc", 4, judge=Lost()).play(player, pairs_of("leduc", 4)))
    assert sum(each.judged + each.agreed for each in played) == 0
    judged = list(matches_of("leduc", 4, judge=load_expert("leduc")).play(player, pairs_of("leduc", 4)))
    assert sum(each.judged for each in judged) == sum(each.decisions for each in judged)
