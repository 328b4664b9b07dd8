"""States of a game from a file: one a line, patches between them, or what a server has recorded.

A line is a state, or `{"patch": [...]}` of the state before it (RFC 6902), or a whole `match.state` as it goes on the
wire. Neighbouring frames share all that is equal in them, so that what does not change is kept, compared and cut once.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic_core import from_json

from agent_runtime.designer.errors import BadStates
from agent_runtime.replay.recording_format import FORMAT, read_recording
from agent_runtime.replay.steps import RecordedSteps
from agent_runtime.server.runtime import CloseMatch, PutState
from agent_runtime.turn import Json, SessionSpec
from prompts import apply_patch
from prompts.errors import PatchError


@dataclass(frozen=True, slots=True)
class Frame:
    """One state: its number as recorded, else counted from 1; and the line it stands in, None in a recording."""

    number: int
    state: Json
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Frames:
    """The states of a file in their order. `sights` are what the sessions of a recording could see."""

    file: Path
    frames: tuple[Frame, ...]
    sights: tuple[tuple[str, ...], ...] = ()
    is_recording: bool = False


def read_frames(file: Path) -> Frames:
    """Read all states of a file. Raises BadStates, and what reading a recording raises."""
    try:
        with file.open("rb") as opened:
            beginning = opened.readline(1 << 16)
        if beginning.startswith(b'{"format":') and FORMAT.encode() in beginning:
            return _recorded(file)
        frames = tuple(_counted(file))
    except OSError as error:
        raise BadStates(
            file, None, f"it cannot be read ({error.strerror}). Name a file with one state a line."
        ) from error
    if not frames:
        raise BadStates(file, None, "it holds no state. Write one state a line, as JSON.")
    return Frames(file, frames)


def read_state(file: Path) -> Json:
    """Read one state, on however many lines it stands. Raises BadStates."""
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise BadStates(file, None, f"it cannot be read ({error.strerror}). Name a file with a state in it.") from error
    return _state(_parsed(file, raw, 1), file, 1)


def _counted(file: Path) -> Iterator[Frame]:
    state: Json = None
    number = 0
    with file.open("rb") as opened:
        for line, raw in enumerate(opened, 1):
            if not raw.strip():
                continue
            try:
                found = _parsed(file, raw.rstrip(), line)
            except BadStates:
                if number:
                    raise
                # Not a line of its own, so perhaps one state over several lines.
                yield Frame(1, read_state(file), 1)
                return
            number += 1
            patch, found = _patch_or_state(found)
            if patch is not None:
                if number == 1:
                    raise BadStates(file, line, "a patch needs a state before it. Begin with a whole state.")
                try:
                    found = apply_patch(state, patch)
                except PatchError as error:
                    raise BadStates(file, line, str(error)) from error
            state = shared(state, _state(found, file, line))
            yield Frame(number, state, line)


def _patch_or_state(found: Json) -> tuple[Json, Json]:
    """The patch that a line is, or the state."""
    if isinstance(found, dict) and found.get("type") == "match.state":
        return found.get("patch"), found.get("state")
    if isinstance(found, dict) and found.keys() == {"patch"} and isinstance(found["patch"], list):
        return found["patch"], None
    return None, found


def _parsed(file: Path, raw: bytes, line: int) -> Json:
    raw = raw.removeprefix(b"\xef\xbb\xbf")
    try:
        raw.decode()
        return from_json(raw, allow_inf_nan=False)
    except UnicodeDecodeError:
        raise BadStates(file, line, "this is not UTF-8. Save the file as UTF-8.") from None
    except ValueError as error:
        place = re.fullmatch(r"(.*) at line (\d+) column (\d+)", str(error))
        why, below, column = place.groups() if place else (str(error), "1", "1")
        at = line + int(below) - 1
        raise BadStates(file, at, f"this is not JSON: {why} at column {column}.") from None


def _state(found: Json, file: Path, line: int) -> Json:
    if not isinstance(found, (dict, list)):
        raise BadStates(file, line, f"a state is a JSON object or array, and this is {_kind(found)}.")
    return found


def _kind(found: Json) -> str:
    return {bool: "true or false", str: "a string", type(None): "null"}.get(type(found), "a number")


def _recorded(file: Path) -> Frames:
    recording = read_recording(file)
    frames: list[Frame] = []
    sights: dict[tuple[str, ...], None] = {}
    state: Json = None
    for timed in RecordedSteps(recording):
        match timed.step:
            case PutState() as put:
                if put.patch is not None and state is None:
                    raise BadStates(
                        file,
                        None,
                        f"it begins with a patch (frame {put.frame}): the match was taken up again from a store, and "
                        "the state before it is not recorded. Take the recording of a match from its beginning.",
                    )
                try:
                    found = put.state if put.patch is None else apply_patch(state, put.patch)
                except PatchError as error:
                    raise BadStates(file, None, f"frame {put.frame}: {error}") from error
                state = shared(state, found)
                frames.append(Frame(put.frame, state))
            case SessionSpec() as session:
                sights[session.sight] = None
            case CloseMatch():
                state = None
    if not frames:
        raise BadStates(file, None, "this recording holds no match.state. Name the file of a match that was played.")
    return Frames(file, tuple(frames), tuple(sights), is_recording=True)


def shared(old: Json, new: Json) -> Json:
    """The new value, made of the old one's objects wherever they are equal to its own, numbers by how they are written.

    What neighbours in an array have in common is found from both its ends, as something is seldom put in twice at once.
    """
    if old is new or type(old) is not type(new):
        return new
    if isinstance(new, dict):
        merged = {key: shared(old[key], value) if key in old else value for key, value in new.items()}
        is_same = len(old) == len(merged) and all(key in old and merged[key] is old[key] for key in merged)
        return old if is_same else merged
    if isinstance(new, list):
        together = min(len(old), len(new))
        joined = [shared(a, b) for a, b in zip(old, new, strict=False)]
        if len(old) == len(new):
            return old if all(a is b for a, b in zip(joined, old, strict=True)) else joined
        first = next((place for place in range(together) if joined[place] is not old[place]), together)
        tail = [shared(old[-back], new[-back]) for back in range(1, together - first + 1)]
        return [*joined[:first], *new[first : len(new) - len(tail)], *reversed(tail)]
    return old if old == new and (type(old) is not float or repr(old) == repr(new)) else new
