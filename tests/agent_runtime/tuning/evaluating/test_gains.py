"""What seats gained, kept and read back, and the differences of two players in the matches of both."""

import math
import random
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runtime.replay.figures import student_t
from agent_runtime.tuning.evaluating.gains import Counting, Gains, differences, is_model
from tests.agent_runtime.tuning.evaluating.reported import game_of

LEDUC = Counting("leduc", False, 2)


def test_a_match_is_won_by_the_sign_of_what_is_gained_and_alone_by_success() -> None:
    gained = (-1.0, 0.0, 0.5, 1.0)
    assert [*map(LEDUC.points, gained)] == [0.0, 0.5, 1.0, 1.0]
    assert [*map(Counting("babyai", True, 1).points, gained)] == [0.0, 0.0, 1.0, 1.0]
    assert [*map(Counting("textworld", True, 1).points, gained)] == [0.0, 0.0, 0.0, 1.0], "half a quest is none"
    assert Gains(LEDUC, gained).results == {"won": 2, "drawn": 1, "lost": 1}


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=9).map(tuple))
def test_what_is_kept_reads_back_as_it_was(rewards: tuple[float, ...]) -> None:
    text = Gains(LEDUC, rewards).text
    assert tuple(map(float, text.split())) == rewards and "\n" not in text


def test_whole_numbers_take_little_room() -> None:
    assert Gains(LEDUC, (1.0, -2.0, 0.5, 0.0)).text == "1 -2 0.5 0"


def test_a_difference_is_that_of_seeds_by_a_direct_computation() -> None:
    rng = random.Random(3)
    one, other = ([rng.choice((-2.0, 0.0, 1.0, 3.0)) for _ in range(40)] for _ in range(2))
    found = Gains(LEDUC, tuple(one)).above(Gains(LEDUC, tuple(other)))
    by_seed = numpy.subtract(one, other).reshape(20, 2).mean(1)
    half = student_t(19) * by_seed.std(ddof=1) / math.sqrt(20)
    assert found["reward"]["mean"] == pytest.approx(by_seed.mean(), abs=1e-5)
    assert found["reward"]["interval"] == pytest.approx([by_seed.mean() - half, by_seed.mean() + half], abs=1e-5)
    scores = [numpy.sign(rewards) / 2 + 0.5 for rewards in (one, other)]
    by_seed = 100 * numpy.subtract(*scores).reshape(20, 2).mean(1)
    half = student_t(19) * by_seed.std(ddof=1) / math.sqrt(20)
    assert found["score"]["interval"] == pytest.approx([by_seed.mean() - half, by_seed.mean() + half], abs=2e-3)
    assert (found["score"]["items"], found["score"]["samples"]) == (40, 20)


def test_who_played_more_is_compared_over_the_matches_of_both() -> None:
    few, many = Gains(LEDUC, (1.0, -1.0, 1.0)), Gains(LEDUC, (1.0, 1.0, -1.0, 5.0, 5.0))
    assert few.above(many) == few.above(Gains(LEDUC, many.rewards[:3]))
    assert many.above(few)["score"]["items"] == 3


def test_models_are_all_who_are_not_there_to_be_compared_with() -> None:
    names = ("full", "star", "random", "expert", "best constant", "best constant by reward")
    assert [*filter(is_model, names)] == ["full", "star"]
    found = differences({name: Gains(LEDUC, (float(number),)) for number, name in enumerate(names)})
    assert [*found["cost"]] == ["star"] and [*found["above"]["star"]] == [*names[2:]]
    assert found["cost"]["star"]["reward"]["mean"] == -1.0, "how far star is behind"
    assert found["above"]["star"]["expert"]["reward"]["mean"] == -2.0


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda game: game["rewards"].update(full="1 1 1 0"), "of full in leduc do not add up"),
        (lambda game: game["rewards"].update(full="1 1 1"), "full has not as many rewards as leduc has matches"),
        (lambda game: game["rewards"].update(full="1 1 1 nan"), "no finite number"),
        (lambda game: game["rewards"].update(full="1 1 1 x"), "could not convert"),
        (lambda game: game["rewards"].pop("full"), "not those of its players"),
        (lambda game: game["players"]["full"]["score"].update(points=99.0), "do not add up"),
    ],
)
def test_what_was_changed_does_not_add_up(change: Any, why: str) -> None:
    game = game_of({"full": [1.0, 1.0, 1.0, -1.0]})
    assert Gains.of_game(game)["full"].rewards == (1.0, 1.0, 1.0, -1.0)
    change(game)
    with pytest.raises(ValueError, match=why):
        Gains.of_game(game)
