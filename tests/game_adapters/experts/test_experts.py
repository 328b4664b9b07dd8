"""Every expert: better than chance, the same under a seed, blind to what its agent cannot know, legal."""

import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from game_adapters import GAMES, load_adapter, make_env
from game_adapters.adapter import Varying
from game_adapters.errors import ExpertLost, NoExpert
from game_adapters.experts import EXPERTS, RandomPolicy, Score, Valuer, best_actions, contest, load_expert
from tests.game_adapters.playable import PLAYABLE, playable

# A few games each: enough that the difference is four standard errors, and seconds.
CONTESTS: dict[str, tuple[int, dict[str, Any]]] = {
    "texas_holdem": (500, {"hands": 1}),
    "connect_four": (6, {}),
    "camp": (1, {"ticks": 5}),
    "leduc": (200, {}),
    "tic_tac_toe": (20, {}),
    "textworld": (8, {}),
    "babyai": (12, {}),
    "open_spiel": (6, {}),
}


def makes(game: str, **options: Any) -> Any:
    return lambda seed: make_env(game, seed, **options)


def moments(game: str, seed: int, most: int, **options: Any) -> Iterator[tuple[Any, str]]:
    """A game of random moves, before each."""
    env, adapter, choose = make_env(game, seed, **options), load_adapter(game), random.Random(seed)
    for _ in range(most):
        view = adapter.turn(env)
        if view is None:
            return
        yield env, view.agent
        env.step(choose.choice(view.actions).number)


def moment(game: str, seed: int, at: int, **options: Any) -> tuple[Any, str]:
    """A game of random moves after `at` of them, or as many as it had."""
    while True:
        env, adapter, choose = make_env(game, seed, **options), load_adapter(game), random.Random(seed)
        for _ in range(at):
            view = adapter.turn(env)
            if view is None:
                break
            env.step(choose.choice(view.actions).number)
        if adapter.turn(env) is not None:
            return env, env.agent_selection
        at -= 1


def test_every_game_of_ours_has_an_expert() -> None:
    assert EXPERTS.keys() == GAMES.keys()
    with pytest.raises(NoExpert, match="no expert for 'chess'.*texas_holdem"):
        load_expert("chess")


@pytest.mark.parametrize("game", PLAYABLE)
def test_it_is_better_than_chance_by_more_than_chance(game: str) -> None:
    num_games, options = CONTESTS[game]
    make, adapter = makes(game, **options), load_adapter(game)
    alone = len(make(0).possible_agents) == 1 or game == "camp"
    opponent = None if alone else RandomPolicy(adapter, 1)
    expert = contest(make, load_expert(game, 2), opponent, num_games)
    # Two who play at random win nothing from each other: these games add up to 0.
    chance = contest(make, RandomPolicy(adapter, 3), None, num_games) if alone else Score((0.0,))
    assert expert.mean - chance.mean > max(0.2, 4 * (expert.error**2 + chance.error**2) ** 0.5)


@pytest.mark.parametrize("game", PLAYABLE)
def test_what_it_chooses_is_legal_and_the_same_whoever_asked_what_before(game: str) -> None:
    adapter, first = load_adapter(game), load_expert(game, 5)
    for number, (env, agent) in enumerate(moments(game, 4, 24)):
        view = adapter.turn(env)
        assert view is not None
        try:
            chosen = first.choose(env, agent)
        except ExpertLost as lost:
            assert "has no answer here" in str(lost)
            return
        assert chosen in [offer.number for offer in view.actions]
        assert adapter.turn(env) == view, "to choose changes nothing"
        assert first.choose(env, agent) == chosen
        if number % 6 == 0:
            assert load_expert(game, 5).choose(env, agent) == chosen


@pytest.mark.parametrize("game", ["texas_holdem", "leduc", playable("textworld")])
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 50), deal=st.integers(0, 1000), at=st.integers(0, 5))
def test_what_the_agent_cannot_know_does_not_change_the_choice(game: str, seed: int, deal: int, at: int) -> None:
    contract = load_adapter(game).contract
    assert isinstance(contract, Varying)
    options = {"hands": 2} if game == "texas_holdem" else {}
    expert = load_expert(game, 1)
    env, agent = moment(game, seed, at, **options)
    other, _ = moment(game, seed, at, **options)
    before = expert.choose(env, agent)
    contract.vary_hidden(other, agent, random.Random(deal))
    assert load_expert(game, 1).choose(other, agent) == before


@pytest.mark.parametrize("game", ["tic_tac_toe", "connect_four", "leduc"])
def test_what_is_chosen_is_among_the_most_valuable(game: str) -> None:
    expert = load_expert(game, 3)
    assert isinstance(expert, Valuer)
    for seed in range(3):
        for env, agent in moments(game, seed, 20):
            values = expert.values(env, agent)
            legal = {offer.number for offer in load_adapter(game).turn(env).actions}  # type: ignore[union-attr]
            assert values.keys() == legal
            best = best_actions(expert, env, agent)
            assert {number for number, value in values.items() if value == max(values.values())} <= best
            if game == "leduc":  # which draws, also what it seldom does
                assert max(values.values()) == 1
            else:
                assert values[expert.choose(env, agent)] == max(values.values())
