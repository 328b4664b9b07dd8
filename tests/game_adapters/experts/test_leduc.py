"""The equilibrium of Leduc hold'em, and that it is the game of the environment."""

import random

from game_adapters import load_adapter, make_env
from game_adapters.experts import load_expert
from game_adapters.experts.leduc_solver import exploitability, solve


def test_nobody_wins_a_twentieth_of_a_chip_against_the_equilibrium() -> None:
    assert exploitability(solve()) < 0.05
    assert exploitability(solve(20)) > exploitability(solve())


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
