"""agent_runtime.server.plain_json: what a Python game sends that is no JSON."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runtime.server.plain_json import not_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner),
    max_leaves=12,
)


@given(VALUES)
def test_what_python_writes_as_json_is_json(value: Any) -> None:
    json.dumps(value, allow_nan=False)
    assert not_json(value) is None


@pytest.mark.parametrize(
    ("value", "where", "what"),
    [
        ({"ships": [{"miles": float("nan")}]}, "ships.0.miles", "the number nan has no JSON"),
        ({"ships": (1, float("-inf"))}, "ships.1", "the number -inf"),
        ({"seen": {1}}, "seen", "the set {1} has no JSON"),
        ([np.int64(3)], "0", "the numpy.int64 np.int64(3) has no JSON"),
        ({"at": {(1, 2): "x"}}, "at", "the key the tuple (1, 2) has no JSON: give a string"),
        ({"far": object}, "far", "the type <class 'object'>"),
    ],
)
def test_what_is_none_is_told_with_its_place(value: Any, where: str, what: str) -> None:
    found = not_json(value)
    assert found is not None and found[0] == where and what in found[1]


def test_what_is_nested_without_end_is_told_so() -> None:
    ring: list[Any] = []
    ring.append(ring)
    found = not_json(ring)
    assert found is not None and found[1] == "it is nested too deep"
