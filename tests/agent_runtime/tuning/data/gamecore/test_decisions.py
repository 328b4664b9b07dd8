"""Decisions: what the rules want of a unit."""

from collections import Counter
from random import Random
from typing import Any

import pytest

from agent_runtime.tuning.data.gamecore.decisions import decision, linked_errand, right_action, rules_errand
from agent_runtime.tuning.data.gamecore.land import Land, make_land
from agent_runtime.tuning.data.gamecore.questions import Asker

UNITS = [("Ann", "red", 50, "Fen"), ("Bo", "blue", 40, "Fen"), ("Cy", "blue", 70, "Fen"), ("Di", "red", 20, "Moor")]


def land(attack: str = "the fewest hp", to: str = "Fen", **hp: int) -> Land:
    state: dict[str, Any] = {
        "rules": {"fights": {"attack": attack, "winner": "more hp", "power": {}}},
        "regions": [{"id": "Fen"}, {"id": "Moor"}],
        "units": [
            {"id": name, "team": team, "hp": hp.get(name, own), "region": region} for name, team, own, region in UNITS
        ],
        "quests": [{"id": "Quo", "hero": "Di", "to": to}],
    }
    return Land(state, 2)


def action(made: Land, name: str) -> str | None:
    return right_action(made, made.by_id[name])


def test_enemies_come_first_and_the_rules_say_which() -> None:
    assert action(land(), "Ann") == "attack Bo"
    assert action(land("the most hp"), "Ann") == "attack Cy"
    assert action(land(), "Cy") == "attack Ann"


def test_where_two_enemies_are_alike_nothing_is_asked() -> None:
    assert action(land(Bo=70), "Ann") is None
    assert action(land(Bo=70), "Cy") == "attack Ann"


def test_without_enemies_a_hero_goes_where_the_quest_leads_and_holds_there() -> None:
    assert action(land(), "Di") == "go to Fen"
    assert action(land(to="Moor"), "Di") == "hold"


@pytest.mark.parametrize("num_blocks", [12, 40, 300])
def test_all_enemies_that_are_there_are_listed_and_never_oneself(num_blocks: int) -> None:
    made = make_land(Random(2), "test", num_blocks, 33)
    for seed in range(60):
        question = decision(Random(seed), made)
        assert question is not None
        unit = made.by_id[question.text.split()[2].rstrip(".")]
        assert {f"attack {enemy['id']}" for enemy in made.enemies(unit)} <= {*question.actions}
        assert f"attack {unit['id']}" not in question.actions and f"go to {unit['region']}" not in question.actions
        assert "hold" in question.actions and question.target in question.actions


@pytest.mark.parametrize("errand", [rules_errand, linked_errand])
@pytest.mark.parametrize("num_blocks", [12, 300])
def test_no_step_alone_and_no_pair_that_is_true_tells_which_action_is_right(errand: Asker, num_blocks: int) -> None:
    made, sizes = make_land(Random(5), "test", num_blocks, 33), Counter[int]()
    for seed in range(80):
        question = errand(Random(seed), made)
        if question is None:
            continue
        words = [action.split() for action in question.actions]
        [first] = {each.index(next(word for word in each[1:] if word not in LITTLE)) for each in words}
        steps = [(each[first], next(word for word in each[first + 1 :] if word not in LITTLE)) for each in words]
        assert len({*steps}) == len(steps) and question.target in question.actions
        for place in range(2):
            assert {*Counter(step[place] for step in steps).values()} == {2}
        assert question.chance == 1 / len(steps)
        true = [step for step in steps if is_true(made, *step)]
        assert len(true) == len(steps) / 2 and steps[question.actions.index(question.target)] in true
        sizes[len(steps)] += 1
    assert {*sizes} <= {4, 6, 8} and (num_blocks == 12 or {*sizes} == {4, 6, 8})


LITTLE = {"to", "in", "of", "for", "the", "through"}


def is_true(made: Land, one: str, other: str) -> bool:
    if one in made.by_id:
        return other in map(str, made.by_id[one].values())
    rules = made.state["rules"]
    return {**rules["fights"]["power"], **rules["land"]}[one] == int(other)
