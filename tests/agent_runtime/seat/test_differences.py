"""Patches lead from any state to any other, to the last byte."""

import copy
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agent_runtime.seat.differences import patch_between
from prompts import apply_patch

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from([0.0, 1.0, "a", "b~/c"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "c/d", "~"]), inner),
    max_leaves=12,
)
STATES = st.dictionaries(st.sampled_from(["a", "b", "c/d", "~"]), VALUES)


@given(STATES, STATES)
def test_a_patch_leads_from_one_state_to_the_other_types_and_order_included(old: Any, new: Any) -> None:
    before = json.dumps(old)
    patch = patch_between(old, new)
    if patch is not None:
        assert json.dumps(apply_patch(old, patch)) == json.dumps(new)
        assert bool(patch) == (before != json.dumps(new))
    assert json.dumps(old) == before


def test_what_did_not_change_is_not_in_the_patch() -> None:
    old: Any = {"units": [{"id": n, "hp": 9, "at": ["mill", {"x": n}]} for n in range(3)], "clock": 1, "gone": 0}
    new = copy.deepcopy(old)
    new["units"][1]["at"][1]["x"] = 7
    new["clock"] = 2
    del new["gone"]
    new["come"] = [1]
    assert patch_between(old, new) == [
        {"op": "remove", "path": "/gone"},
        {"op": "replace", "path": "/units/1/at/1/x", "value": 7},
        {"op": "replace", "path": "/clock", "value": 2},
        {"op": "add", "path": "/come", "value": [1]},
    ]


def test_what_is_equal_in_python_alone_is_a_change() -> None:
    assert patch_between({"lit": 1}, {"lit": True}) == [{"op": "replace", "path": "/lit", "value": True}]
    assert patch_between({"lit": 1}, {"lit": 1}) == []


def test_a_state_that_has_nothing_of_the_last_one_is_sent_whole() -> None:
    assert patch_between({"a": 1}, {"b": 1}) is None
    assert patch_between({"a": 1, "b": 2}, {"b": 2, "a": 1}) is None, "members that changed places"
    assert patch_between({"in": {"a": 1, "b": 2}}, {"in": {"b": 2, "a": 1}}) == [
        {"op": "replace", "path": "/in", "value": {"b": 2, "a": 1}}
    ]
