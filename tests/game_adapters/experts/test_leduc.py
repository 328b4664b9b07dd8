"""The equilibrium of Leduc hold'em, and that it is the game of the environment."""

import random

from game_adapters import load_adapter, make_env
from game_adapters.environments import Environment
from game_adapters.experts import ConstantPolicy, RandomPolicy, contest, load_expert
from game_adapters.experts.leduc_solver import exploitability, solve


def test_nobody_wins_a_twentieth_of_a_chip_against_the_equilibrium() -> None:
    assert exploitability(solve(astray=0.0)) < 0.05
    assert exploitability(solve(20, 0.0)) > exploitability(solve(astray=0.0))


def test_who_expects_mistakes_gives_little_away_and_gains_more_from_them() -> None:
    """Who plays at random gives away chips by the handful."""
    shares = solve()
    anything = {name: dict.fromkeys(mix, 1 / len(mix)) for name, mix in shares.items()}
    assert exploitability(shares) < 0.2 < 2 < exploitability(anything)


def test_no_constant_and_no_chance_gains_from_it_though_one_wins_more_often() -> None:
    adapter, expert = load_adapter("leduc"), load_expert("leduc", 1)

    def make(seed: int) -> Environment:
        return make_env("leduc", seed)

    others = {answer: ConstantPolicy(adapter, answer) for answer in ("call", "raise", "check", "fold")}
    for other in (*others.values(), RandomPolicy(adapter, 1)):
        score = contest(make, expert, other, 100)
        assert score.mean > 3 * score.error, "by reward"
    against_chance = [
        contest(make, policy, RandomPolicy(adapter, 2), 250).mean for policy in (expert, *others.values())
    ]
    assert against_chance[0] == max(against_chance)


def test_its_tree_is_the_game_that_is_played() -> None:
    """Every hand ends where the tree does, and what may be done is what it knows; only folding for nothing is left."""
    expert, adapter = load_expert("leduc"), load_adapter("leduc")
    for seed in range(200):
        env, choose = make_env("leduc", seed), random.Random(seed)
        while (view := adapter.turn(env)) is not None:
            legal = {offer.number for offer in view.actions}
            assert expert.values(env, view.agent).keys() == legal  # type: ignore[attr-defined]
            action = choose.choice([number for number in legal if number != 2 or len(legal) < 3])
            env.step(action)


def test_a_king_is_never_folded_before_the_board_and_a_pair_never_at_all() -> None:
    shares = solve()
    assert all(mix.get("f", 0.0) == 0.0 for name, mix in shares.items() if name.endswith((" KK", " QQ", " JJ")))
    assert shares[" K"]["f"] == 0.0
