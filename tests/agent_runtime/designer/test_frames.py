"""agent_runtime.designer.frames: states, patches and recordings are read, and what is wrong is named with its line."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from agent_runtime.designer.errors import BadStates
from agent_runtime.designer.frames import read_frames, read_state, shared
from agent_runtime.replay.errors import RecordingError
from agent_runtime.replay.recording import MatchRecorder
from agent_runtime.turn import MatchOpened, Mode
from prompts.json_text import canonical
from tests.agent_runtime.designer.worlds import write_states
from tests.prompts.worlds import worlds


def written(folder: Path, text: str | bytes) -> Path:
    file = folder / "states.jsonl"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def test_each_line_is_a_state_and_blank_lines_are_none(tmp_path: Path) -> None:
    frames = read_frames(written(tmp_path, '\ufeff{"a":1}\n\n[2]\n  \n{"a":3}')).frames
    assert [(frame.number, frame.line, frame.state) for frame in frames] == [
        (1, 1, {"a": 1}),
        (2, 3, [2]),
        (3, 5, {"a": 3}),
    ]


def test_a_line_may_be_a_patch_of_the_state_before_it(tmp_path: Path) -> None:
    patch = [{"op": "replace", "path": "/a", "value": 2}]
    frames = read_frames(write_states(tmp_path, [{"a": 1, "b": [1]}, {"patch": patch}, {"a": 5}])).frames
    assert [frame.state for frame in frames] == [{"a": 1, "b": [1]}, {"a": 2, "b": [1]}, {"a": 5}]
    assert frames[0].state["b"] is frames[1].state["b"]


def test_a_state_that_has_a_member_called_patch_is_a_state(tmp_path: Path) -> None:
    states: list[Any] = [{"patch": {"x": 1}}, {"patch": [], "road": 1}]
    assert [frame.state for frame in read_frames(write_states(tmp_path, states)).frames] == states


def test_a_line_may_be_the_message_that_goes_on_the_wire(tmp_path: Path) -> None:
    whole = {"type": "match.state", "match": "m", "frame": 7, "state": {"a": 1}}
    patch = {"type": "match.state", "match": "m", "frame": 8, "patch": [{"op": "remove", "path": "/a"}]}
    assert [frame.state for frame in read_frames(write_states(tmp_path, [whole, patch])).frames] == [{"a": 1}, {}]


def test_one_state_over_several_lines_is_one_frame(tmp_path: Path) -> None:
    file = written(tmp_path, json.dumps({"a": [1, 2]}, indent=2))
    assert [frame.state for frame in read_frames(file).frames] == [{"a": [1, 2]}]
    assert read_state(file) == {"a": [1, 2]}


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ('{"a":1}\n{"a":\n', 2, "not JSON: EOF"),
        ('{"a":1}\n{"a" 1}\n', 2, "not JSON: expected `:` at column 6"),
        ('{"a":1}\n\n{"a":NaN}', 3, "not JSON: expected value at column 6"),
        ('{"a":1}\n3', 2, "this is a number"),
        ('{"a":1}\nnull', 2, "this is null"),
        ('"a"', 1, "this is a string"),
        ('{"patch":[]}', 1, "a patch needs a state before it"),
        ('{"a":1}\n{"patch":[{"op":"remove","path":"/b"}]}', 2, "operation 0 (remove /b) fails"),
        (b'{"a":1}\n{"a":"caf\xe9"}', 2, "not UTF-8"),
        ("", None, "holds no state"),
        ("\n \n", None, "holds no state"),
        ('{\n "a": 1,\n}', 3, "not JSON: trailing comma at column 1"),
        ('{"a"\n{"a":1}', 2, "not JSON"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, text: str | bytes, line: int | None, says: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(BadStates) as caught:
        read_frames(file)
    assert caught.value.line == line and says in str(caught.value)
    assert str(caught.value).startswith(f"{file}:{line}: " if line else f"{file}: ")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for read in (read_frames, read_state):
        with pytest.raises(BadStates, match="cannot be read"):
            read(tmp_path / "missing.jsonl")
        with pytest.raises(BadStates, match="cannot be read"):
            read(tmp_path)


def test_a_state_file_that_is_broken_names_the_line_within_it(tmp_path: Path) -> None:
    with pytest.raises(BadStates) as caught:
        read_state(written(tmp_path, '{\n  "a": 1\n  "b": 2\n}'))
    assert caught.value.line == 3


@given(worlds, worlds)
def test_what_shares_its_objects_is_the_same_value(old: Any, new: Any) -> None:
    before = canonical(old)
    merged = shared(old, new)
    assert canonical(merged) == canonical(new)
    assert canonical(old) == before
    assert shared(new, copy.deepcopy(new)) is new or not isinstance(new, (dict, list))


def test_neighbours_share_what_did_not_change(tmp_path: Path) -> None:
    units = [{"id": number, "at": [number]} for number in range(5)]
    states = [{"units": units}, {"units": units[:2] + units[3:]}, {"units": [{"id": 9, "at": [9]}, *units]}]
    first, second, third = (frame.state["units"] for frame in read_frames(write_states(tmp_path, states)).frames)
    assert second[0] is first[0] and second[3] is first[4]
    assert third[-1] is second[-1]


def recorded(folder: Path, *frames: tuple[str, dict[str, Any]], ends: bool = True) -> Path:
    """The file of a match in which these frames went over the wire."""
    recorder = MatchRecorder(folder)
    recorder.match_opened(MatchOpened("m", "tiny", "default", False, Mode.STAR, False, None))
    for direction, message in frames:
        recorder.frame(direction, "c1", message["type"], "m", json.dumps(message))  # type: ignore[arg-type]
    recorder.close()
    [file] = folder.glob("match-*.jsonl")
    return file


def state_frame(number: int, **body: Any) -> tuple[str, dict[str, Any]]:
    return "c2s", {"type": "match.state", "id": number, "match": "m", "frame": number, **body}


def test_of_a_recording_the_states_are_taken_that_the_server_took(tmp_path: Path) -> None:
    patch = [{"op": "replace", "path": "/a", "value": 2}]
    file = recorded(
        tmp_path,
        ("c2s", {"type": "match.open", "id": 1, "match": "m", "game": "tiny"}),
        state_frame(41, state={"a": 1}),
        ("c2s", {"type": "session.open", "id": 2, "session": "s", "match": "m", "sight": ["!/b"]}),
        state_frame(40, state={"a": "late"}),
        ("s2c", {"type": "error", "reply_to": 40, "code": "stale_frame", "message": "late", "retryable": False}),
        state_frame(42, patch=patch),
    )
    frames = read_frames(file)
    assert [(frame.number, frame.state) for frame in frames.frames] == [(41, {"a": 1}), (42, {"a": 2})]
    assert frames.sights == (("!/b",),) and frames.is_recording


def test_a_recording_that_begins_with_a_patch_says_why_it_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(BadStates, match="taken up again from a store"):
        read_frames(recorded(tmp_path, state_frame(3, patch=[])))


def test_a_recording_without_a_state_says_so(tmp_path: Path) -> None:
    with pytest.raises(BadStates, match="holds no match.state"):
        read_frames(recorded(tmp_path))


def test_an_edited_recording_is_refused_as_everywhere(tmp_path: Path) -> None:
    file = recorded(tmp_path, state_frame(1, state={"a": 1}))
    file.write_text(file.read_text("utf-8").replace('\\"a\\": 1', '\\"a\\": 2'), encoding="utf-8")
    with pytest.raises(RecordingError, match="line 2"):
        read_frames(file)
