"""agent_runtime.designer.following: what frames do to blocks, counted by hand."""

from pathlib import Path
from typing import Any

import pytest

from agent_runtime.designer.errors import BadStates
from tests.agent_runtime.designer.worlds import course_of
from tests.prompts.worlds import UNITS, count_words, rule

A, B = {"id": "a", "hp": 1}, {"id": "b", "hp": 2}


def text_tokens(*texts: str) -> int:
    return sum(count_words(text) for text in texts)


ANCHOR, EMPTY = text_tokens("Be kind.\n"), text_tokens("\n")
UNIT = text_tokens('/units/a\n{"hp":1,"id":"a"}\n')


def test_a_block_is_counted_where_it_came_changed_stayed_and_went(tmp_path: Path) -> None:
    states = [{"units": each} for each in ([A], [A, B], [A, {**B, "hp": 9}], [B], [])]
    course = course_of(tmp_path, UNITS, states)
    found = {each.name: (each.existed(5), each.changed, each.chances(5), each.tokens) for each in course.blocks}
    # An empty array is a part of the state that no rule takes.
    assert found == {
        "unit/a": (3, 0, 2, UNIT),
        "unit/b": (3, 2, 2, UNIT),
        "rest/units": (1, 0, 0, text_tokens("/units\n[]\n")),
    }
    assert [(frame.added, frame.replaced, frame.removed) for frame in course.frames] == [
        (("unit/a",), (), ()),
        (("unit/b",), (), ()),
        ((), ("unit/b",), ()),
        ((), ("unit/b",), ("unit/a",)),
        (("rest/units",), (), ("unit/b",)),
    ]


def test_rows_stand_as_the_prompt_has_them_over_all_frames(tmp_path: Path) -> None:
    log = rule("/log/*", "log/{key}")
    states: list[Any] = [{"log": {"2": "b"}}, {"log": {"1": "a", "2": "b", "3": "c"}}, {"log": {"25": "x", "3": "c"}}]
    course = course_of(tmp_path, log, states)
    assert [block.name for block in course.blocks] == ["log/1", "log/2", "log/25", "log/3"]


def test_members_that_change_together_are_counted_by_rule(tmp_path: Path) -> None:
    states = [{"units": [{**A, "at": {"x": n, "y": 0}}, B]} for n in range(4)]
    (family,) = course_of(tmp_path, UNITS, states).families
    assert (family.name, family.chances, family.changes, family.frames_changed) == ("unit/*", 6, 3, 3)
    assert family.sets == {frozenset({("at", "x")}): 3}


def test_what_is_beyond_the_context_is_named(tmp_path: Path) -> None:
    states = [{"units": [A]}, {"units": [A, B]}]
    course = course_of(tmp_path, UNITS, states, context=ANCHOR + EMPTY + UNIT + 1)
    assert course.beyond == (2, ANCHOR + EMPTY + 2 * UNIT, ("unit/b",))


def test_the_sight_hides_from_the_course_what_it_hides_from_a_session(tmp_path: Path) -> None:
    course = course_of(tmp_path, UNITS, [{"units": [A], "secret": 1}], sight=("!/secret",))
    assert [block.name for block in course.blocks] == ["unit/a"]


def test_two_parts_of_one_name_keep_their_rule(tmp_path: Path) -> None:
    course = course_of(tmp_path, rule("/*/*", "part/{key}"), [{"a": {"x": 1}, "b": {"x": 2}}])
    assert [(block.name, block.family) for block in course.blocks] == [
        ("part/x at /a/x", "part/*"),
        ("part/x at /b/x", "part/*"),
    ]


@pytest.mark.parametrize(
    ("state", "says"),
    [({"units": [{"id": "a"}]}, r"states\.jsonl:2: frame 2: .*unit\.md:1: UndefinedError")],
)
def test_a_state_that_breaks_a_template_is_named_with_its_line(tmp_path: Path, state: object, says: str) -> None:
    with pytest.raises(BadStates, match=says):
        course_of(tmp_path, f"{UNITS}render = 'unit.md'\n", [{"units": [A]}, state], {"unit.md": "{{ value.hp }}"})


def test_under_a_rule_that_names_no_member_each_is_counted_for_itself_too(tmp_path: Path) -> None:
    states = [{"units": {"a": A, "b": {**B, "hp": n}}, "clock": {"hour": n}} for n in range(4)]
    states[3].pop("clock")
    (family,) = course_of(tmp_path, rule("/*/*", "{key}"), states).families
    assert (family.chances, family.changes) == (8, 5)
    found = {name: (kind.match, kind.name, kind.chances, kind.changes) for name, kind in family.kinds.items()}
    assert found == {"units": ("/units/*", "units/*", 6, 3), "clock": ("/clock/*", "clock/*", 2, 2)}
    assert (family.kinds["clock"].part_frames, family.kinds["clock"].frames_changed) == (3, 3)
    assert family.kinds["units"].sets == {frozenset({("hp",)}): 3}


@pytest.mark.parametrize(("match", "state"), [("/units/*", {"units": [A, B]}), ("/*", [A, B]), ("/**", {"units": [A]})])
def test_what_a_rule_names_and_members_of_an_array_are_of_one_kind(tmp_path: Path, match: str, state: Any) -> None:
    families = course_of(tmp_path, rule(match, "part"), [state] * 3).families
    assert families and not any(family.kinds for family in families)
