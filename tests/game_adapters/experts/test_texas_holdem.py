"""The expert of hold'em against whoever always does the same, chance, and mistakes of its own kind."""

from random import Random

import pytest

from game_adapters import load_adapter, make_env
from game_adapters.environments import Environment
from game_adapters.experts import ConstantPolicy, Policy, RandomPolicy, Score, contest, load_expert
from game_adapters.experts.texas_holdem import LINES, TexasHoldemExpert
from game_adapters.texas_holdem_match import ALL_IN, FOLD

ADAPTER = load_adapter("texas_holdem")


def against(opponent: Policy, num_seeds: int, expert: Policy | None = None) -> tuple[Score, float]:
    """What the expert gains in chips over hands that are played from both seats, and the share of hands it wins."""
    made: list[Environment] = []

    def make(seed: int) -> Environment:
        made.append(make_env("texas_holdem", seed, hands=1))
        return made[-1]

    score = contest(make, expert or load_expert("texas_holdem"), opponent, num_seeds)
    # Of each seed the first is only asked who plays.
    gains = [made[3 * seed + 1 + seat].unwrapped.results[0] for seed in range(num_seeds) for seat in (0, 1)]
    rewards = [result.won[f"player_{number % 2}"] for number, result in enumerate(gains)]
    return score, sum(0.5 + 0.5 * ((reward > 0) - (reward < 0)) for reward in rewards) / len(rewards)


@pytest.mark.parametrize(
    ("answer", "least"), [("fold", 1.4), ("call", 6.0), ("check", 4.0), ("raise_half_pot", 6.0), ("raise_pot", 8.0)]
)
def test_it_gains_chips_and_hands_from_who_always_does_the_same(answer: str, least: float) -> None:
    score, won = against(ConstantPolicy(ADAPTER, answer), 120)
    assert score.mean > max(least, 3 * score.error)
    assert won > 0.5


def test_it_gains_chips_from_who_always_goes_all_in_though_it_folds_most_hands() -> None:
    score, _ = against(ConstantPolicy(ADAPTER, "all_in"), 500)
    assert score.mean > max(2.0, 2 * score.error)


def test_it_gains_chips_and_hands_from_chance() -> None:
    score, won = against(RandomPolicy(ADAPTER, 1), 400)
    # Who always does the same gains one chip a hand at best.
    assert score.mean > max(4.0, 3 * score.error) and won > 0.55


class Astray:
    """Does anything in every second move."""

    def __init__(self) -> None:
        self._expert, self._anything, self._random = load_expert("texas_holdem"), RandomPolicy(ADAPTER), Random(1)

    def choose(self, env: Environment, agent: str) -> int:
        return (self._expert if self._random.random() < 0.5 else self._anything).choose(env, agent)


def test_against_itself_it_is_even_and_mistakes_cost() -> None:
    score, won = against(load_expert("texas_holdem"), 40)
    assert (score.mean, won) == (0.0, 0.5)
    score, _ = against(Astray(), 120)
    assert score.mean > 2 * score.error > 0


def test_hands_that_differ_by_suits_alone_are_worth_the_same_before_the_flop() -> None:
    expert = TexasHoldemExpert()
    assert expert.strength(("Ah", "Kd"), ()) == expert.strength(("Kc", "As"), ())
    assert expert.strength(("Ah", "Kh"), ()) == expert.strength(("Kc", "Ac"), ()) > expert.strength(("Ah", "Kd"), ())
    board = ("2c", "7d", "Jh")
    assert expert.strength(("Ah", "Kd"), board) == expert.strength(("Kd", "Ah"), board[::-1])


def test_a_stronger_hand_never_does_less() -> None:
    for lines in LINES.values():
        assert lines.half_pot <= lines.pot <= lines.all_in and lines.pot_again <= lines.all_in_again


def test_chips_that_one_cannot_match_are_no_part_of_the_price() -> None:
    """With 10 chips against an all-in of 190 a call costs 8 of 20, and not of 200: the worst hands are folded."""
    done = []
    for seed in range(16):
        match = make_env("texas_holdem", seed, hands=3).unwrapped
        match.stacks_before = {"player_0": 190, "player_1": 10}
        match._deal()
        match.step(ALL_IN)
        assert (match.agent_selection, match.to_call("player_1")) == ("player_1", 8)
        done.append(TexasHoldemExpert().choose(match, "player_1"))
    assert 0 < done.count(FOLD) < 12
