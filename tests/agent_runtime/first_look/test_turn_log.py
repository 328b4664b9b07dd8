"""agent_runtime.first_look.turn_log: every turn once, as it was answered, however long the recording is."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from agent_runtime.first_look.errors import NoRecordings
from agent_runtime.first_look.turn_log import (
    REFUSED,
    UNANSWERED,
    LoggedTurn,
    cuts_of,
    find_recordings,
    read_match,
    turns_of,
)
from agent_runtime.replay.recording import MatchRecorder
from agent_runtime.turn import MatchOpened, Mode


def write(folder: Path, *frames: tuple[str, dict[str, Any]], match: str = "m") -> Path:
    recorder = MatchRecorder(folder)
    recorder.match_opened(MatchOpened(match, "duel", "default", False, Mode.STAR, False, None))
    for direction, message in frames:
        recorder.frame(direction, "c1", message["type"], match, json.dumps(message))  # type: ignore[arg-type]
    recorder.close()
    [file] = folder.glob(f"match-{match}*.jsonl")
    return file


def asked(turn_id: int, session: str = "s", frame: int = 7) -> tuple[str, dict[str, Any]]:
    body = {"session": session, "turn_id": turn_id, "frame": frame, "observation": "", "actions": [{"id": "go"}]}
    return "c2s", {"type": "turn", "id": turn_id, **body}


def answered(turn_id: int, session: str = "s", outcome: str = "ok", **more: Any) -> tuple[str, dict[str, Any]]:
    return "s2c", {"type": "turn.result", "session": session, "turn_id": turn_id, "outcome": outcome, **more}


def listed(file: Path) -> list[tuple[str, int, int | None, str]]:
    return [(turn.session, turn.turn_id, turn.frame, turn.outcome) for turn in turns_of(read_match(file))]


def test_a_real_recording_lists_each_turn_once_with_its_account(recording: Path) -> None:
    turns = list(turns_of(read_match(recording)))
    assert [(turn.turn_id, turn.frame, turn.outcome) for turn in turns] == [
        (1, 1, "ok"),
        (2, 1, REFUSED),
        (3, 2, "ok"),
        (4, 2, "ok"),
    ]
    first, refused, third, _ = turns
    assert first.match == "m" and first.session == "s" and first.num_actions == 4
    assert first.action in {"hold", "go north", "go south", "attack"}
    assert first.p is not None and 0 < first.p < 1
    assert first.ttft_ms is not None and first.tokens_prompt is not None and first.tokens_computed is not None
    assert refused.message is not None and refused.message.startswith("stale_frame: ")
    assert third.action in ('aim {"at": "u1"}', 'aim {"at": "u2"}') and third.num_actions == 2


def test_answers_may_come_in_another_order_and_some_never(tmp_path: Path) -> None:
    file = write(tmp_path, asked(1), asked(2), asked(3), answered(3), answered(1, outcome="timeout", message="late"))
    assert listed(file) == [("s", 3, 7, "ok"), ("s", 1, 7, "timeout"), ("s", 2, 7, UNANSWERED)]


def test_a_turn_that_was_asked_and_answered_again_is_one(tmp_path: Path) -> None:
    file = write(tmp_path, asked(1), answered(1), asked(1), answered(1), asked(2), answered(2))
    assert listed(file) == [("s", 1, 7, "ok"), ("s", 2, 7, "ok")]


def test_a_session_that_was_closed_counts_its_turns_anew(tmp_path: Path) -> None:
    close = ("c2s", {"type": "session.close", "session": "s"})
    file = write(tmp_path, asked(1), answered(1), asked(2), close, asked(1), answered(1))
    assert listed(file) == [("s", 1, 7, "ok"), ("s", 2, 7, UNANSWERED), ("s", 1, 7, "ok")]


def test_a_recording_that_was_cut_ends_where_it_was_cut(tmp_path: Path) -> None:
    file = write(tmp_path, asked(1), answered(1), asked(2), answered(2))
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:4]) + lines[4][:30])
    assert listed(file) == [("s", 1, 7, "ok"), ("s", 2, 7, UNANSWERED)]


def test_a_cut_is_told_wherever_it_goes_through(tmp_path: Path) -> None:
    file = write(tmp_path, asked(1), answered(1), asked(2), answered(2))
    lines = file.read_bytes().splitlines(keepends=True)
    assert list(cuts_of(read_match(file))) == []
    for number in range(2, len(lines) + 1):
        file.write_bytes(b"".join(lines[:number])[:-30])
        [sentence] = cuts_of(read_match(file))
        assert f"line {number}: it was cut in its middle" in sentence
    file.write_bytes(b"".join(lines[:-1]))
    [sentence] = cuts_of(read_match(file))
    assert "has no end" in sentence


def test_frames_that_were_no_messages_are_passed_over(tmp_path: Path) -> None:
    nonsense = ("c2s", {"type": "turn", "session": 3})
    assert listed(write(tmp_path, nonsense, asked(1), answered(1))) == [("s", 1, 7, "ok")]


def test_memory_does_not_grow_with_a_recording(tmp_path: Path) -> None:
    def most_bytes(num_turns: int) -> int:
        frames = [each for turn in range(num_turns) for each in (asked(turn), answered(turn))]
        file = write(tmp_path / str(num_turns), *frames)
        tracemalloc.start()
        try:
            assert sum(isinstance(turn, LoggedTurn) for turn in turns_of(read_match(file))) == num_turns
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    most_bytes(50)
    assert most_bytes(3000) < most_bytes(300) + 100_000


def test_a_folder_holds_the_recordings_of_matches(tmp_path: Path) -> None:
    first, second = write(tmp_path, match="a"), write(tmp_path, match="b")
    (tmp_path / "server.jsonl").write_text("{}", encoding="utf-8")
    assert find_recordings(tmp_path) == (first, second)
    assert find_recordings(first) == (first,)


def test_where_nothing_was_recorded_is_said(tmp_path: Path) -> None:
    with pytest.raises(NoRecordings, match="is not there"):
        find_recordings(tmp_path / "missing")
    with pytest.raises(NoRecordings, match="holds no recording"):
        find_recordings(tmp_path)


def test_what_was_said_outside_of_matches_is_no_match(tmp_path: Path) -> None:
    recorder = MatchRecorder(tmp_path)
    recorder.frame("c2s", "c1", "hello", None, '{"type":"hello"}')
    recorder.close()
    with pytest.raises(NoRecordings, match="is no recording of a match"):
        read_match(tmp_path / "server.jsonl")
