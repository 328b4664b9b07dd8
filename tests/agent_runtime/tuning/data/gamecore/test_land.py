"""Lands: of the size asked for, and with one answer wherever a question needs one."""

from collections import Counter
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from agent_runtime.tuning.data.gamecore.land import LARGEST_COUNT, TEAMS, Land, make_land
from agent_runtime.tuning.samples import SPLITS


def land(seed: int, num_blocks: int = 60, tokens: float = 33) -> Land:
    return make_land(Random(seed), SPLITS[seed % 3], num_blocks, tokens)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**40), st.integers(8, 400))
def test_what_a_question_looks_for_is_there_once(seed: int, num_blocks: int) -> None:
    made = land(seed, num_blocks)
    records = made.records
    assert 2 + sum(map(len, records.values())) == num_blocks
    assert len(made.by_id) == num_blocks - 2, "an id is that of one record"
    units, items, quests = records["unit"], records["item"], records["quest"]
    assert {unit["ally"] for unit in units} == {unit["id"] for unit in units}
    assert all(unit["ally"] != unit["id"] for unit in units)
    things = [unit["carries"] for unit in units] + [item["id"] for item in items if "lies_in" in item]
    assert len({*things}) == len(things) and {item["id"] for item in items} <= {*things}
    for field in ("hero", "bring"):
        assert len({quest[field] for quest in quests}) == len(quests)
    assert {quest["bring"] for quest in quests} <= {*things}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**40), st.integers(8, 400))
def test_each_count_up_to_the_largest_is_there_as_often_as_any_other(seed: int, num_blocks: int) -> None:
    made = land(seed, num_blocks)
    found = Counter(count for _, _, count in made.counted)
    assert {*found} == {*range(made.largest_count + 1)} and len({*found.values()}) == 1
    assert 1 <= made.largest_count <= LARGEST_COUNT
    for team, region, count in made.counted:
        assert count == sum((unit["team"], unit["region"]) == (team, region) for unit in made.records["unit"])


def test_large_lands_count_to_six_and_all_teams_are_there() -> None:
    made = land(1, 300)
    assert made.largest_count == LARGEST_COUNT and {unit["team"] for unit in made.records["unit"]} == {*TEAMS}


def test_rules_differ_from_land_to_land() -> None:
    rules = [land(seed).state["rules"] for seed in range(20)]
    assert len({str(each["fights"]["power"]) for each in rules}) == 20
    assert len({each["fights"]["winner"] for each in rules}) == 4
    assert len({each["fights"]["attack"] for each in rules}) == 2
    assert all(len({*each["fights"]["power"].values()}) == 8 for each in rules)
