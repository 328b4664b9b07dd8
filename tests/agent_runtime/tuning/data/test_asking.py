"""Questions become asks as the runtime would ask them."""

from random import Random

import pytest

from agent_runtime.tuning.data.asking import (
    Question,
    QuestionRecipe,
    alike,
    ask_of,
    check_kinds,
    draw_question,
    draw_questions,
    sample_of,
    size_of,
)
from agent_runtime.tuning.data.demonstrations import Demonstrations
from agent_runtime.tuning.data.gamecore import GameCore
from agent_runtime.tuning.data.generating import game_of
from agent_runtime.tuning.data.passages import Passages
from agent_runtime.tuning.errors import BadArgument

RECIPES = (GameCore, Passages, Demonstrations)


def test_an_observation_shows_the_day_the_question_and_each_action_on_a_line() -> None:
    question = Question("You lead Banor. What does it do?", "hold", 0.5, ("attack Kin", "hold"))
    ask = ask_of(game_of("gamecore"), "decision", question, {"clock": {"day": 41}})
    assert ask.observation == "Day 41. You lead Banor. What does it do?\nattack Kin\nhold\n"
    assert (ask.target, ask.answer, ask.actions, ask.chance) == ("hold", "hold", ("attack Kin", "hold"), 0.5)


def test_the_answer_is_what_stands_behind_the_last_step() -> None:
    ask = ask_of(game_of("gamecore"), "linked", Question("hp?", "Banor, bow; 57", 0.1), {"clock": {"day": 1}})
    assert ask.answer == "57"


def test_a_sample_is_a_state_in_blocks_with_all_that_is_asked_about_it() -> None:
    recipe = Passages(seed=4, split="test")
    told = [{"id": "1", "title": "Tor", "text": "Tor was born in 1834."}]
    question = Question("When?", "1834", 0.5)
    sample = sample_of(recipe, game_of("passages"), {"passages": told}, [("passage_fact", question)] * 2)
    assert (sample.game, sample.family, sample.split, sample.seed) == ("passages", "passages", "test", 4)
    assert [text for _, text in sample.blocks if "Tor was born in 1834." in text] and len(sample.asks) == 2
    assert sample.anchor == game_of("passages").anchor.text and sample.asks[0].target == "1834"


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_says_what_its_samples_depend_on_and_what_they_can_be(recipe: type[QuestionRecipe]) -> None:
    made = recipe(blocks=(12, 20), asks=3)  # type: ignore[call-arg]
    assert made.arguments().items() >= {"blocks": [12, 20], "asks": 3, "kinds": dict(made.weights())}.items()
    assert made.arguments().keys().isdisjoint({"name", "seed", "split"})
    refused = ({"blocks": (1, 20)}, {"blocks": (12, 9999)}, {"asks": 0}, {"split": "exam"}, {"kinds": (("none", 1.0),)})
    for changes in refused:
        with pytest.raises(BadArgument, match=next(iter(changes))):
            recipe(**changes).maker()  # type: ignore[arg-type]


def test_kinds_are_drawn_by_their_weights() -> None:
    random, askers = Random(2), {kind: lambda random, about: Question(about, about, 0.5) for kind in "ab"}
    kinds = [draw_question(random, (("a", 3.0), ("b", 1.0)), askers, "gate")[0] for _ in range(2000)]
    assert 0.72 < kinds.count("a") / 2000 < 0.78
    assert draw_question(random, alike("b"), askers, "gate") == ("b", Question("gate", "gate", 0.5))


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
