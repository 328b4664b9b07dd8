"""How a recording is to be played."""

import pytest

from agent_runtime.replay.load.errors import BadPace
from agent_runtime.replay.load.options import LoadOptions, read_pace


@pytest.mark.parametrize(
    ("text", "pace"), [("closed", None), ("recorded", 1.0), ("2", 2.0), ("0.5", 0.5), ("10x", 10.0)]
)
def test_a_pace_is_a_word_or_a_number(text: str, pace: float | None) -> None:
    assert read_pace(text) == pace


@pytest.mark.parametrize("text", ["", "fast", "0", "-1", "nan", "inf", "1e400", "x"])
def test_another_pace_is_refused_with_those_there_are(text: str) -> None:
    with pytest.raises(BadPace, match="`closed`.*`recorded`.*as 2 or 0.5"):
        read_pace(text)


def test_modes_are_played_side_by_side_only_when_nothing_else_is_going_on() -> None:
    assert LoadOptions().is_side_by_side
    assert not LoadOptions(copies=2).is_side_by_side
    assert not LoadOptions(pace=1.0).is_side_by_side


def test_there_are_no_more_connections_than_copies() -> None:
    assert [LoadOptions(copies=4, connections=each).num_connections for each in (None, 1, 3, 9)] == [4, 1, 3, 4]
