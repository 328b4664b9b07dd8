import pytest

from game_adapters import load_adapter, make_env
from game_adapters.experts import ConstantPolicy, RandomPolicy, Score, best_constant, contest, load_expert


def test_a_policy_against_itself_is_even_in_pairs() -> None:
    first = load_expert("tic_tac_toe")
    score = contest(lambda seed: make_env("tic_tac_toe", seed), first, first, 3)
    assert len(score.gains) == 3 and score.mean == 0


def test_agents_without_an_opponent_are_counted_together() -> None:
    adapter = load_adapter("camp")
    score = contest(lambda seed: make_env("camp", seed, ticks=3), RandomPolicy(adapter, 1), None, 2)
    assert len(score.gains) == 2


def test_the_error_is_that_of_a_mean() -> None:
    assert Score((1.0, 3.0)).mean == 2.0
    assert Score((1.0, 3.0)).error == pytest.approx(1.0)
    assert Score((1.0,)).error == 0.0


def test_the_best_constant_answer_is_found_and_is_better_than_another() -> None:
    adapter = load_adapter("leduc")
    opponent = RandomPolicy(adapter, 4)
    answer, score = best_constant(adapter, lambda seed: make_env("leduc", seed), opponent, 60)
    assert answer in ("call", "raise", "check")
    folding = contest(lambda seed: make_env("leduc", seed), ConstantPolicy(adapter, "fold"), opponent, 60)
    assert score.mean > folding.mean
