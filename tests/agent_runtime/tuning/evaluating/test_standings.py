"""What is won, what is lost, and by how much: the same numbers by a direct computation."""

import random

import pytest

from agent_runtime.tuning.evaluating.gains import Counting, Gains, Measure
from agent_runtime.tuning.evaluating.playing import Pair, Played
from agent_runtime.tuning.evaluating.standings import Standings, by_seed
from tests.agent_runtime.tuning.evaluating.test_tallies import items

SEATS = ("a", "b")
NAMES = ("full", "star", "random", "constant:go", "constant:stay")
LEDUC = Counting("leduc", False, len(SEATS))


def some_matches(number: int, bias: float, seed: int) -> list[Played]:
    rng = random.Random(seed)
    made = []
    for each in range(number):
        reward = rng.choice([-2.0, 0.0, 1.0, 3.0]) + bias
        made.append(Played(Pair(each, each // 2, SEATS[each % 2]), reward, 3, 0.75, 2, 3, rng.randint(0, 3)))
    return made


def standings_of(played: dict[str, list[Played]], measure: Measure = "score") -> Standings:
    standings = Standings(LEDUC, NAMES[:2], NAMES[2:], measure)
    for seed in by_seed(played):
        standings.add(seed)
    return standings


def test_the_figures_are_those_of_the_matches() -> None:
    played = {name: some_matches(41, bias / 4, bias) for bias, name in enumerate(NAMES)}
    shuffled = {name: random.Random(1).sample(matches, len(matches)) for name, matches in played.items()}
    standings = standings_of(shuffled)
    for seconds, name in enumerate(NAMES[:2], 1):
        standings.players[name].seconds = seconds
    report = standings.report()
    scores = {name: [LEDUC.points(each.reward) for each in matches] for name, matches in played.items()}
    means = {name: 100 * sum(values) / 41 for name, values in scores.items()}
    full = report["players"]["full"]
    assert full["score"]["points"] == pytest.approx(means["full"], abs=1e-3)
    assert (full["won"], full["drawn"], full["lost"]) == tuple(scores["full"].count(v) for v in (1.0, 0.5, 0.0))
    assert full["reward"]["mean"] == pytest.approx(sum(each.reward for each in played["full"]) / 41, abs=1e-4)
    assert (full["decisions"], full["decisions_per_s"]) == (123, 123.0)
    assert full["legal_mass"] == pytest.approx(0.25) and full["legal_anyway"] == pytest.approx(200 / 3, abs=0.01)
    agreed = sum(each.agreed for each in played["full"])
    assert full["agreement"]["points"] == pytest.approx(100 * agreed / 123, abs=1e-3)
    assert full["score"]["samples"] == 21, "both seats of a seed are one cluster, the last has one"
    assert report["cost"]["star"]["score"]["points"] == pytest.approx(means["full"] - means["star"], abs=1e-3)
    above = report["above"]["star"]
    assert above["random"]["score"]["points"] == pytest.approx(means["star"] - means["random"], abs=1e-3)
    best = max(NAMES[3:], key=means.__getitem__)
    assert report["players"]["best constant"]["action"] == best.removeprefix("constant:")
    assert above["best constant"]["score"]["points"] == pytest.approx(means["star"] - means[best], abs=1e-3)
    assert report["constants"]["go"]["score"] == pytest.approx(means["constant:go"], abs=1e-3)
    assert "decisions_per_s" not in report["players"]["random"]
    kept = Gains.of_game({**report, "game": "leduc", "opponent": "expert", "seats": SEATS, "matches": 41})
    assert kept["star"].rewards == tuple(each.reward for each in played["star"]), "in the order of the matches"
    assert {*kept} == {*report["players"]} and kept["best constant"].rewards == tuple(x.reward for x in played[best])


def test_who_wins_most_often_need_not_gain_most() -> None:
    def matches(rewards: list[float]) -> list[Played]:
        return [Played(Pair(i, i // 2, SEATS[i % 2]), reward) for i, reward in enumerate(rewards)]

    played = {name: matches([1.0, -1.0]) for name in NAMES[:3]}
    played |= {"constant:go": matches([1.0, 1.0]), "constant:stay": matches([9.0, -1.0])}
    report = standings_of(played).report()
    assert report["measure"] == "score"
    assert report["players"]["best constant"]["action"] == "go"
    assert report["players"]["best constant by reward"]["action"] == "stay"
    assert "best constant by score" not in report["players"]


def test_where_chips_are_what_is_played_for_the_best_constant_is_who_gains_most() -> None:
    gained = {"full": [1.0, -4.0], "star": [6.0, -1.0], "random": [0.0, 0.0]}
    gained |= {"constant:go": [1.0, 1.0], "constant:stay": [3.0, -0.5]}
    matches = {
        name: [Played(Pair(i, i // 2, SEATS[i % 2]), reward) for i, reward in enumerate(rewards)]
        for name, rewards in gained.items()
    }
    report = standings_of(matches, "reward").report()
    assert report["measure"] == "reward"
    assert report["players"]["best constant"]["action"] == "stay"
    assert report["players"]["best constant by score"]["action"] == "go"
    above = report["above"]["star"]
    assert above["best constant"]["reward"]["mean"] == pytest.approx(1.25)
    assert above["best constant"]["score"]["points"] == 0.0
    assert above["best constant by score"]["score"]["points"] == -50.0, "both measures stand in the report"


def test_a_difference_of_the_same_matches_is_none_at_all() -> None:
    matches = some_matches(40, 0.0, 3)
    report = standings_of(dict.fromkeys(NAMES, matches)).report()
    assert report["cost"]["star"]["score"]["interval"] == [0.0, 0.0]
    assert report["players"]["full"]["score"]["interval"][0] < report["players"]["full"]["score"]["points"]


def test_intervals_of_differences_hold_the_truth_in_about_95_of_100() -> None:
    rng = random.Random(5)
    held = 0
    for _ in range(200):
        made = items(rng, 40, 2)  # two seats a seed, which are alike
        played = {
            name: [Played(Pair(i, each.sample, "a"), 1.0 if each.right[which] else -1.0) for i, each in enumerate(made)]
            for name, which in zip(NAMES, (0, 1, 0, 0, 0), strict=True)
        }
        low, high = standings_of(played).report()["cost"]["star"]["score"]["interval"]
        held += low <= 5 <= high
    assert 180 <= held <= 199, held
