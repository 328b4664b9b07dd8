"""Recordings read back, and every way they can be broken."""

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent_runtime.replay.errors import EditedRecording, NewerRecording, NotARecording
from agent_runtime.replay.recording_format import VERSION, line_at, read_recording, seal
from tests.agent_runtime.replay.recorded import record


@pytest.mark.parametrize("keep", range(1, 60, 7))
def test_a_last_line_that_was_cut_is_tolerated_and_the_next_part_follows_it(tmp_path: Path, keep: int) -> None:
    file = record(tmp_path)
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:3]) + lines[3][:keep])
    (part,) = read_recording(file).parts
    assert len(list(part.lines)) == 2 and part.end is None
    assert record(tmp_path) == file
    first, second = read_recording(file).parts
    assert (len(list(first.lines)), first.end) == (2, None)
    assert len(list(second.lines)) == 4 and second.end is not None
    assert [number for number, _ in read_recording(file).lines] == [0, 0, 1, 1, 1, 1]


def test_a_line_that_lacks_only_its_newline_counts(tmp_path: Path) -> None:
    file = record(tmp_path)
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:3]).rstrip(b"\n"))
    assert len(list(read_recording(file).parts[0].lines)) == 2


def edited(change: Callable[[list[bytes]], None], file: Path) -> EditedRecording:
    lines = file.read_bytes().splitlines(keepends=True)
    change(lines)
    file.write_bytes(b"".join(lines))
    with pytest.raises(EditedRecording) as found:
        read_recording(file)
    read_recording(file, verify=False)
    return found.value


def test_an_edited_line_is_named(tmp_path: Path) -> None:
    def change(lines: list[bytes]) -> None:
        lines[3] = lines[3].replace(b"turn", b"burn", 1)

    error = edited(change, record(tmp_path))
    assert error.line == 4 and "line 4" in str(error)


def test_a_removed_line_is_named_where_it_is_missed(tmp_path: Path) -> None:
    assert edited(lambda lines: lines.pop(2) and None, record(tmp_path)).line == 3


def test_swapped_lines_are_named(tmp_path: Path) -> None:
    def change(lines: list[bytes]) -> None:
        lines[1], lines[2] = lines[2], lines[1]

    assert edited(change, record(tmp_path)).line == 2


def test_a_line_that_is_no_json_in_the_middle_is_named(tmp_path: Path) -> None:
    def change(lines: list[bytes]) -> None:
        lines[2] = b"hello\n"

    assert edited(change, record(tmp_path)).line == 3


def test_another_end_is_named(tmp_path: Path) -> None:
    def change(lines: list[bytes]) -> None:
        end = json.loads(lines[5])["end"]
        lines[5] = seal({"end": {**end, "digest": "0" * 32}})

    assert edited(change, record(tmp_path)).line == 6


def test_a_resealed_header_is_found_by_the_end(tmp_path: Path) -> None:
    def change(lines: list[bytes]) -> None:
        header = json.loads(lines[0])
        del header["check"]
        lines[0] = seal({**header, "mode": "full"})

    assert edited(change, record(tmp_path)).line == 6


def test_a_line_behind_the_end_is_named(tmp_path: Path) -> None:
    file = record(tmp_path)
    file.write_bytes(file.read_bytes() + file.read_bytes().splitlines(keepends=True)[1])
    with pytest.raises(EditedRecording) as found:
        read_recording(file)
    assert found.value.line == 7


def test_a_line_without_its_fields_is_named_even_when_nothing_is_verified(tmp_path: Path) -> None:
    file = record(tmp_path)
    lines = file.read_bytes().splitlines(keepends=True)
    lines[2] = seal({"seq": 2})
    file.write_bytes(b"".join(lines))
    with pytest.raises(EditedRecording, match="line 3"):
        read_recording(file, verify=False)


@pytest.mark.parametrize(
    ("line", "fields", "named"),
    [
        (0, {"digests": 5}, "digests"),
        (0, {"created": None}, "created"),
        (0, {"version": "1"}, "no header"),
        (2, {"dir": "up"}, "dir"),
        (3, {"t_ns": "soon"}, "t_ns"),
        (3, {"payload": {}}, "payload"),
        (5, {"end": {"t_ns": 1, "counts": [], "digest": ""}}, "counts"),
        (5, {"end": 7}, "dictionary"),
    ],
)
def test_a_field_of_another_type_is_named_with_its_line(
    tmp_path: Path, line: int, fields: dict[str, Any], named: str
) -> None:
    file = record(tmp_path)
    lines = file.read_bytes().splitlines(keepends=True)
    told = json.loads(lines[line])
    del told["check"]
    lines[line] = seal({**told, **fields})
    file.write_bytes(b"".join(lines))
    for verify in (True, False):
        with pytest.raises(EditedRecording, match=named) as found:
            read_recording(file, verify=verify)
        assert found.value.line == line + 1


def test_json_of_any_depth_is_no_line(tmp_path: Path) -> None:
    assert edited(lambda lines: lines.insert(2, b"[" * 100_000 + b"\n"), record(tmp_path)).line == 3


def test_filtered_lines_are_read_without_verification(tmp_path: Path) -> None:
    file = record(tmp_path)
    lines = [line for line in file.read_bytes().splitlines(keepends=True) if b'"dir":"s2c"' not in line]
    file.write_bytes(b"".join(lines))
    assert [each.kind for _, each in read_recording(file, verify=False).lines] == ["match.open", "turn", "account"]


@pytest.mark.parametrize("content", [b"", b"\n", b"hello\n", b"{}\n", b"[]\n", b'{"format":"asciicast"}\n', b'{"form'])
def test_another_file_is_not_a_recording(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "x.jsonl"
    file.write_bytes(content)
    with pytest.raises(NotARecording, match=r"x\.jsonl"):
        read_recording(file)


def test_a_newer_format_is_refused_with_both_versions(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    file.write_bytes(seal({"format": "hotseat.recording", "version": VERSION + 1, "new": True}))
    with pytest.raises(NewerRecording) as newer:
        read_recording(file)
    assert (newer.value.version, newer.value.known) == (VERSION + 1, VERSION)


def test_a_later_part_of_a_newer_format_is_named_by_its_line(tmp_path: Path) -> None:
    file = record(tmp_path)
    file.write_bytes(file.read_bytes() + b'{"format":"hotseat.recording","version":7,"sealed":"otherwise"}\n')
    with pytest.raises(NewerRecording, match="line 7: it has format version 7") as newer:
        read_recording(file)
    assert newer.value.line == 7


def test_one_endless_line_is_not_read_to_its_end(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    with file.open("wb") as out:
        out.truncate(1 << 26)  # zeros
    tracemalloc.start()
    try:
        with pytest.raises(NotARecording):
            read_recording(file)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_what_is_appended_after_the_reading_is_not_seen(tmp_path: Path) -> None:
    file = record(tmp_path)
    whole = file.read_bytes()
    file.write_bytes(whole[:-200])
    recording = read_recording(file)
    file.write_bytes(whole)
    assert len(list(recording.lines)) == sum(recording.parts[0].counts.values())


def test_lines_are_found_again_by_their_place(tmp_path: Path) -> None:
    file = record(tmp_path)
    (part,) = read_recording(file).parts
    with file.open("rb") as again:
        for place, line in reversed(list(part.placed_lines())):
            assert line_at(again, place) == line


def test_unknown_fields_of_the_same_version_are_ignored(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    header = {"format": "hotseat.recording", "version": 1, "created": "", "protocol": "", "server": "", "mood": "glad"}
    line = {"t_ns": 0, "seq": 1, "dir": "c2s", "conn": "c", "kind": "turn", "payload": "{}", "weight": 3}
    file.write_bytes(seal(header) + seal(line))
    assert [each.kind for _, each in read_recording(file).lines] == ["turn"]
