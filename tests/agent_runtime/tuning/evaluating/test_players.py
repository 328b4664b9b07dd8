"""Who plays without a model: what is drawn depends on the match's draws alone."""

from collections import Counter
from typing import Any

import pytest

from agent_runtime.tuning.evaluating.players import always, at_random, by_expert
from agent_runtime.tuning.evaluating.playing import Turn
from game_adapters import load_adapter, make_env
from game_adapters.experts import Mixer, load_expert
from game_adapters.stepping import Waiting


def turns(env: Any, number: int) -> list[Turn]:
    return [Turn(Waiting(env, env.agent_selection), f"{draw}") for draw in range(number)]


def names(game: str, env: Any, numbers: list[int]) -> Counter[str]:
    view = load_adapter(game).turn(env)
    assert view is not None
    return Counter(next(offer.id for offer in view.actions if offer.number == number) for number in numbers)


def test_chance_takes_every_legal_action_and_equal_draws_are_equal() -> None:
    env, player = make_env("leduc", 1), at_random(load_adapter("leduc"))
    chosen = [choice.number for choice in player.choose(turns(env, 300))]
    counts = names("leduc", env, chosen)
    assert len(counts) == 3 and min(counts.values()) > 70
    assert [choice.number for choice in player.choose(turns(env, 300))] == chosen


def test_a_constant_is_taken_where_it_is_legal_and_else_anything_is() -> None:
    adapter, env = load_adapter("leduc"), make_env("leduc", 1)
    raising, checking = always(adapter, "raise"), always(adapter, "check")
    assert {*names("leduc", env, [each.number for each in raising.choose(turns(env, 50))])} == {"raise"}
    first = names("leduc", env, [each.number for each in checking.choose(turns(env, 50))])
    assert {*first} == {"call", "raise", "fold"}, "the other has put in more"
    env.step(0)
    assert {*names("leduc", env, [each.number for each in checking.choose(turns(env, 50))])} == {"check"}


def test_an_expert_that_mixes_is_drawn_by_the_match() -> None:
    adapter, expert = load_adapter("leduc"), load_expert("leduc")
    assert isinstance(expert, Mixer)
    for seed in range(20):
        env = make_env("leduc", seed)
        shares = expert.shares(env, env.agent_selection)
        assert sum(shares.values()) == pytest.approx(1, abs=0.02)
        if 0.2 < max(shares.values()) < 0.9:
            break
    chosen = Counter(choice.number for choice in by_expert(adapter, expert).choose(turns(env, 600)))
    for number, share in shares.items():
        assert chosen[number] / 600 == pytest.approx(share, abs=0.07)


@pytest.mark.parametrize("game", ["tic_tac_toe", "leduc"])
def test_who_wanders_does_something_else_now_and_then(game: str) -> None:
    adapter, expert, env = load_adapter(game), load_expert(game), make_env(game, 3)
    asked = turns(env, 400)
    steady = [choice.number for choice in by_expert(adapter, expert).choose(asked)]
    astray = [choice.number for choice in by_expert(adapter, expert, 0.25).choose(asked)]
    if game == "tic_tac_toe":
        assert {*steady} == {expert.choose(env, env.agent_selection)}
    num_others = sum(one != other for one, other in zip(steady, astray, strict=True))
    assert 0 < num_others < 0.35 * 400
