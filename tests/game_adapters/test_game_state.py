"""States as JSON: copied, or refused with the place."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from game_adapters.errors import BadGameState
from game_adapters.game_state import json_state

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), JSON))
def test_a_json_state_comes_out_as_it_is(state: Any) -> None:
    assert json_state("fake", "left", state) == state


def test_what_the_game_changes_later_does_not_change_what_was_seen() -> None:
    state: Any = {"board": [[1, 2]]}
    seen = json_state("fake", "left", state)
    state["board"][0][0] = 9
    assert seen == {"board": [[1, 2]]}


def test_a_tuple_is_an_array_and_a_numpy_float_a_number() -> None:
    assert json_state("fake", "left", {"at": (1, (2, 3)), "x": np.float64(0.5)}) == {"at": [1, [2, 3]], "x": 0.5}


def board_class() -> Any:
    class Board:
        """Made inside of a function, as in a notebook or a test."""

    return Board


Board = board_class()


def deep(depth: int) -> Any:
    state: Any = {}
    for _ in range(depth):
        state = {"in": state}
    return state


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ([1], r"returned the list \[1\]. It must return a dict"),
        (None, "returned the NoneType None. It must return a dict"),
        ({3: "wolf"}, "returned a dict with the key the int 3. It must return a dict with strings as keys"),
        ({"cards": [1, np.int64(2)]}, r"at /cards/1 stands the numpy.int64 np.int64\(2\)"),
        ({"a/b": {"c": float("nan")}}, "at /a~1b/c stands the float nan"),
        ({"board": np.zeros(2)}, r"at /board stands the numpy.ndarray array\(\[0., 0.\]\)"),
        ({"units": {3: "wolf"}}, "at /units stands a dict with the key the int 3"),
        ({"seen": {1, 2}}, "at /seen stands the set"),
        ({"board": Board()}, "stands the tests.game_adapters.test_game_state.Board <"),
        ({"say": ["\ud800"]}, "at /say/0 stands a string with half of a surrogate pair"),
        ({"names": {"\ud800": 1}}, "at /names stands a dict whose key .* holds half of a surrogate pair"),
        ({"gold": 10**5000}, "at /gold stands an int of 16,610 bits"),
        (deep(5000), "stands something nested too deep|stands a dict"),
    ],
)
def test_what_is_no_json_is_told_with_its_place(state: Any, said: str) -> None:
    with pytest.raises(BadGameState, match=f"describe of fake for 'left'.*({said})"):
        json_state("fake", "left", state)
