"""What a seat is asked about."""

from typing import Any

import pytest

from agent_runtime.seat.asked import checked
from agent_runtime.seat.errors import NotPairs

ENV = object()


def test_pairs_and_what_goes_with_them_are_taken_from_anything_that_can_be_walked_through() -> None:
    asked: list[Any] = [(ENV, None), [ENV, "a"], (ENV, "a", 3), (ENV, "a", 3, {})]
    assert checked(asked) == checked(tuple(asked)) == checked(each for each in asked) == asked
    assert checked([]) == []


@pytest.mark.parametrize(
    ("asked", "found", "place"),
    [
        (ENV, "object", None),
        ([ENV], "object", 0),
        ([(ENV, None), ENV], "object", 1),
        ((ENV, "player_0"), "object", 0),
        ([(ENV,)], "tuple of length 1", 0),
        ([(ENV, None, 1, {}, 2)], "tuple of length 5", 0),
        ("camp", "str", 0),
    ],
)
def test_what_are_no_pairs_is_named_with_its_place_and_what_to_write(asked: Any, found: str, place: int | None) -> None:
    with pytest.raises(NotPairs) as error:
        checked(asked)
    assert (error.value.found, error.value.place) == (found, place)
    said = str(error.value)
    assert found in said and "[(env, None)]" in said and (place is None or f"number {place} of the list" in said)
