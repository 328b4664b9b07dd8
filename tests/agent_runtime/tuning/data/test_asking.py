"""Questions become asks as the runtime would ask them."""

from random import Random

import pytest

from agent_runtime.tuning.data.asking import Question, ask_of, check_kinds, draw_questions, size_of
from agent_runtime.tuning.data.generating import game_of
from agent_runtime.tuning.errors import BadArgument


def test_an_observation_shows_the_day_the_question_and_each_action_on_a_line() -> None:
    question = Question("You lead Banor. What does it do?", "hold", 0.5, ("attack Kin", "hold"))
    ask = ask_of(game_of("gamecore"), "decision", question, {"clock": {"day": 41}})
    assert ask.observation == "Day 41. You lead Banor. What does it do?\nattack Kin\nhold\n"
    assert (ask.target, ask.answer, ask.actions, ask.chance) == ("hold", "hold", ("attack Kin", "hold"), 0.5)


def test_the_answer_is_what_stands_behind_the_last_step() -> None:
    ask = ask_of(game_of("gamecore"), "linked", Question("hp?", "Banor, bow; 57", 0.1), {"clock": {"day": 1}})
    assert ask.answer == "57"


def test_questions_are_different_and_none_answers_itself() -> None:
    drawn = iter([("a", Question("1?", "1", 0.5)), ("a", Question("1?", "1", 0.5)), ("b", None)] * 2)
    assert draw_questions(1, lambda: next(drawn)) == [("a", Question("1?", "1", 0.5))]
    assert len(draw_questions(3, lambda: ("a", Question("1?", "1", 0.5)))) == 1
    assert draw_questions(3, lambda: ("a", Question("1?", "1", 1.0))) == []


def test_small_sizes_are_as_frequent_as_large_ones_and_both_ends_occur() -> None:
    random = Random(3)
    sizes = [size_of(random, (8, 300)) for _ in range(3000)]
    assert min(sizes) == 8 and max(sizes) == 300
    assert 0.45 < sum(size < 49 for size in sizes) / len(sizes) < 0.55
    assert {size_of(random, (20, 20)) for _ in range(20)} == {20}


@pytest.mark.parametrize("weights", [(("c", 1.0),), (("a", -1.0),), (("a", float("nan")),)])
def test_kinds_that_there_are_not_and_weights_that_are_none_are_refused(weights: tuple[tuple[str, float], ...]) -> None:
    check_kinds((("a", 1.0), ("b", 0.2)), {"a": 1, "b": 2})
    with pytest.raises(BadArgument):
        check_kinds(weights, {"a": 1, "b": 2})
