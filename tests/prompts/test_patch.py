import copy
from typing import Any

import jsonpatch
import pytest
from hypothesis import given

from prompts import apply_patch
from prompts.errors import PatchError
from prompts.json_text import canonical
from tests.prompts.worlds import Json, worlds

STATE: Json = {"units": [{"id": "p", "hp": 3}, {"id": "q", "hp": 4}], "map": {"a/b": {"x": 1}}, "n": None}


@given(worlds, worlds)
def test_the_patch_between_two_states_leads_from_one_to_the_other_and_leaves_the_first_alone(
    old: Json, new: Json
) -> None:
    before = canonical(old)
    ops = jsonpatch.make_patch(old, new).patch
    assert canonical(apply_patch(old, ops)) == canonical(new)
    assert canonical(old) == before


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ({"op": "add", "path": "/units/-", "value": 1}, {**STATE, "units": [*STATE["units"], 1]}),
        ({"op": "add", "path": "/units/0", "value": 1}, {**STATE, "units": [1, *STATE["units"]]}),
        ({"op": "remove", "path": "/map/a~1b"}, {**STATE, "map": {}}),
        ({"op": "replace", "path": "/n", "value": {"b": []}}, {**STATE, "n": {"b": []}}),
        ({"op": "replace", "path": "", "value": [1]}, [1]),
        (
            {"op": "move", "from": "/map/a~1b", "path": "/units/1"},
            {**STATE, "map": {}, "units": [STATE["units"][0], {"x": 1}, STATE["units"][1]]},
        ),
        ({"op": "copy", "from": "/map", "path": "/n"}, {**STATE, "n": STATE["map"]}),
        ({"op": "test", "path": "/units/0/hp", "value": 3}, STATE),
    ],
)
def test_every_operation_of_rfc_6902(operation: Json, expected: Json) -> None:
    before = copy.deepcopy(STATE)
    assert apply_patch(STATE, [operation]) == expected
    assert before == STATE


def test_what_is_not_on_the_way_is_the_same_object_afterwards() -> None:
    new = apply_patch(STATE, [{"op": "replace", "path": "/units/0/hp", "value": 9}])
    assert new["units"][1] is STATE["units"][1]
    assert new["map"] is STATE["map"]
    assert new["units"][0] is not STATE["units"][0]


def test_a_moved_or_copied_value_can_be_changed_by_a_later_operation_without_touching_the_old_state() -> None:
    before = copy.deepcopy(STATE)
    ops = [
        {"op": "move", "from": "/units/0", "path": "/n"},
        {"op": "replace", "path": "/n/hp", "value": 0},
        {"op": "copy", "from": "/units/0", "path": "/map/copied"},
        {"op": "replace", "path": "/map/copied/hp", "value": 1},
    ]
    new = apply_patch(STATE, ops)
    assert (new["n"]["hp"], new["map"]["copied"]["hp"], new["units"][0]["hp"]) == (0, 1, 4)
    assert before == STATE


def test_a_move_into_a_member_behind_it_in_its_array_leaves_the_old_state_alone() -> None:
    state: Json = {"units": [{"id": "p"}, {"id": "q", "bag": {}}, {"id": "r", "bag": {}}, {"id": "s"}]}
    before = copy.deepcopy(state)
    new = apply_patch(state, [{"op": "move", "from": "/units/0", "path": "/units/1/bag/held"}])
    assert new["units"] == [state["units"][1], {"id": "r", "bag": {"held": {"id": "p"}}}, state["units"][3]]
    assert before == state


def test_the_values_of_a_patch_are_not_changed_by_its_later_operations() -> None:
    ops = [{"op": "add", "path": "/n", "value": {"x": [1]}}, {"op": "add", "path": "/n/x/-", "value": 2}]
    apply_patch(STATE, ops)
    assert ops[0]["value"] == {"x": [1]}


@pytest.mark.parametrize(
    "bad",
    [
        {"op": "replace", "path": "/nothing/here", "value": 1},
        {"op": "replace", "path": "/units/7", "value": 1},
        {"op": "replace", "path": "/units/x", "value": 1},
        {"op": "replace", "path": "/n/deeper", "value": 1},
        {"op": "remove", "path": "/units/-"},
        {"op": "remove", "path": ""},
        {"op": "test", "path": "/n", "value": False},
        {"op": "test", "path": "/units/0/hp", "value": 3.5},
        {"op": "move", "from": "/units", "path": "/units/0/hp"},
        {"op": "move", "path": "/n"},
        {"op": "copy", "from": "/nowhere", "path": "/n"},
        {"op": "add", "path": "/n"},
        {"op": "add", "path": "n", "value": 1},
        {"op": "add", "path": 3, "value": 1},
        {"op": "add", "path": "/n", "value": float("nan")},
        {"op": "multiply", "path": "/n", "value": 1},
        {"path": "/n"},
        {"op": ["add"], "path": "/n", "value": 1},
        {},
        "add",
        None,
        3,
        ["op", "path", "value"],
    ],
)
def test_an_operation_that_cannot_be_done_names_its_index_and_undoes_those_before_it(bad: Any) -> None:
    before = copy.deepcopy(STATE)
    with pytest.raises(PatchError, match="operation 1 ") as caught:
        apply_patch(STATE, [{"op": "replace", "path": "/units/0/hp", "value": 0}, bad])
    assert caught.value.index == 1
    assert before == STATE


@pytest.mark.parametrize("patch", [{"op": "add", "path": "/n", "value": 1}, "[]", None, 3])
def test_a_patch_that_is_no_array_is_refused(patch: Any) -> None:
    with pytest.raises(PatchError, match="array of operations"):
        apply_patch(STATE, patch)


def test_an_empty_patch_gives_the_same_state() -> None:
    assert apply_patch(STATE, []) is STATE


def test_a_state_that_is_no_container_can_be_replaced_and_tested() -> None:
    assert apply_patch(3, [{"op": "test", "path": "", "value": 3}, {"op": "replace", "path": "", "value": [4]}]) == [4]
    with pytest.raises(PatchError):
        apply_patch(3, [{"op": "add", "path": "/a", "value": 1}])
