"""Recordings: written line by line, read back, pinned to the byte, and every way they can be broken."""

import hashlib
import itertools
import json
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_runtime.replay.errors import CannotRecord, EditedRecording, NewerRecording, NotARecording
from agent_runtime.replay.recording import MatchRecorder
from agent_runtime.replay.recording_format import VERSION, line_at, read_recording, seal
from agent_runtime.turn import Account, MatchOpened, Mode, Outcome, TurnResult

OPENED = MatchOpened("m1", "camp", "tiny", False, Mode.STAR, False, None)


def recorder(folder: Path, **settings: Any) -> MatchRecorder:
    """A recorder whose clock ticks a microsecond at every look."""
    ticks = itertools.count(1000, 1000)
    wall = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
    return MatchRecorder(folder, server="hotseat 1", clock_ns=lambda: next(ticks), wall=lambda: wall, **settings)


def open_match(writer: MatchRecorder, opened: MatchOpened = OPENED) -> None:
    writer.frame("c2s", "c1", "match.open", opened.match, '{"type":"match.open"}')
    writer.match_opened(opened)
    writer.frame("s2c", "c1", "match.opened", opened.match, '{"type":"match.opened"}')


def record(folder: Path, *, close: bool = True) -> Path:
    writer = recorder(folder)
    open_match(writer)
    writer.frame("c2s", "c1", "turn", "m1", '{"type":"turn",  "observation":"Müde \\u00e4\\n"}')
    writer.turn_finished("m1", TurnResult("s", 1, Outcome.OK, account=Account(Mode.STAR, "tiny", False)))
    if close:
        writer.match_closed("m1")
    writer.close()
    (file,) = folder.glob("match-*.jsonl")
    return file


def test_what_was_recorded_is_read_back(tmp_path: Path) -> None:
    (part,) = read_recording(record(tmp_path)).parts
    assert (part.header.match, part.header.game, part.header.model, part.header.mode) == ("m1", "camp", "tiny", "star")
    assert (part.header.protocol, part.header.server) == ("hotseat.v1", "hotseat 1")
    assert [(each.t_ns, each.seq, each.dir, each.conn, each.kind) for each in part.lines] == [
        (0, 1, "c2s", "c1", "match.open"),
        (1000, 2, "s2c", "c1", "match.opened"),
        (2000, 3, "c2s", "c1", "turn"),
        (3000, 4, "int", "", "account"),
    ]
    lines = list(part.lines)
    assert lines[2].payload == '{"type":"turn",  "observation":"Müde \\u00e4\\n"}'
    account = json.loads(lines[3].payload)
    assert (account["session"], account["turn_id"], account["account"]["mode"]) == ("s", 1, "star")
    assert part.end is not None and (part.end.t_ns, part.end.counts) == (4000, {"c2s": 2, "s2c": 1, "int": 1})


def test_the_format_is_pinned_to_the_byte(tmp_path: Path) -> None:
    raw = record(tmp_path).read_bytes()
    lines = raw.splitlines()
    assert lines[0] == (
        b'{"format":"hotseat.recording","version":1,"created":"2026-11-21T12:00:00+00:00","protocol":"hotseat.v1",'
        b'"server":"hotseat 1","match":"m1","game":"camp","model":"tiny","block_tuned":false,"mode":"star",'
        b'"resumed":false,"digests":{},"check":"' + check(lines[0]) + b'"}'
    )
    assert lines[1] == (
        b'{"t_ns":0,"seq":1,"dir":"c2s","conn":"c1","kind":"match.open","payload":"{\\"type\\":\\"match.open\\"}",'
        b'"check":"' + check(lines[1]) + b'"}'
    )
    digest = hashlib.blake2b(b"\n".join(lines[:5]) + b"\n", digest_size=16).hexdigest().encode()
    assert lines[5] == (
        b'{"end":{"t_ns":4000,"counts":{"c2s":2,"s2c":1,"int":1},"digest":"' + digest + b'"},"check":"'
        + check(lines[5]) + b'"}'
    )  # fmt: skip
    assert len(lines) == 6 and raw.endswith(b"\n")


def check(line: bytes) -> bytes:
    body = line[: line.rindex(b',"check":')]
    return hashlib.blake2b(body, digest_size=6).hexdigest().encode()


def test_lines_are_there_while_the_match_goes_on(tmp_path: Path) -> None:
    part = read_recording(record(tmp_path, close=False)).parts[0]
    assert part.end is not None  # closing the recorder ends its parts
    writer = recorder(tmp_path / "other")
    open_match(writer)
    writer._jobs.put(None)  # as if the process were killed here
    writer._writer.join()
    (file,) = (tmp_path / "other").glob("match-*.jsonl")
    (part,) = read_recording(file).parts
    assert len(list(part.lines)) == 2 and part.end is None


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


# Where frames go.


def test_frames_of_no_match_are_in_the_servers_file(tmp_path: Path) -> None:
    writer = recorder(tmp_path)
    writer.frame("c2s", "c1", "hello", None, '{"type":"hello"}')
    open_match(writer)
    writer.frame("c2s", "c1", "malformed", None, "{")
    writer.frame("c2s", "c1", "turn", "unheard of", "{}")
    writer.close()
    (part,) = read_recording(tmp_path / "server.jsonl").parts
    assert [each.kind for each in part.lines] == ["hello", "malformed", "turn"] and part.header.match is None


def test_a_match_that_was_refused_leaves_its_frames_with_the_server(tmp_path: Path) -> None:
    writer = recorder(tmp_path)
    writer.frame("c2s", "c1", "match.open", "m1", "{}")
    writer.frame("c2s", "c1", "session.open", "m1", "{}")
    writer.match_refused("m1")
    writer.frame("s2c", "c1", "error", "m1", "{}")
    writer.close()
    (part,) = read_recording(tmp_path / "server.jsonl").parts
    assert [each.kind for each in part.lines] == ["match.open", "session.open", "error"]
    assert list(tmp_path.glob("match-*")) == []


def test_a_match_opened_by_two_connections_is_one_part(tmp_path: Path) -> None:
    writer = recorder(tmp_path)
    open_match(writer)
    open_match(writer)
    writer.match_refused("m1")  # a third one, with a bad game
    writer.frame("c2s", "c2", "turn", "m1", "{}")
    writer.close()
    (file,) = tmp_path.glob("match-*.jsonl")
    (part,) = read_recording(file).parts
    assert len(list(part.lines)) == 5


def test_a_match_opened_again_after_it_was_closed_begins_a_part(tmp_path: Path) -> None:
    assert record(tmp_path) == record(tmp_path)
    (file,) = tmp_path.glob("match-*.jsonl")
    assert [part.end is not None for part in read_recording(file).parts] == [True, True]


def test_digests_and_seed_stand_in_the_header(tmp_path: Path) -> None:
    writer = recorder(tmp_path, digests=lambda model, game: {"model": f"digest of {model} and {game}"}, seed=5)
    open_match(writer)
    writer.close()
    (file,) = tmp_path.glob("match-*.jsonl")
    header = read_recording(file).parts[0].header
    assert (header.digests, header.seed) == ({"model": "digest of tiny and camp"}, 5)


def test_a_game_that_is_edited_under_a_match_is_noted_with_its_new_digests(tmp_path: Path) -> None:
    version = iter("abc")
    writer = recorder(tmp_path, digests=lambda model, game: {"game/rules.md": next(version)})
    open_match(writer)
    writer.game_taken("chess")  # nobody plays it
    writer.game_taken("camp")
    writer.frame("c2s", "c1", "turn", "m1", "{}")
    writer.game_taken("camp")
    writer.match_closed("m1")
    writer.close()
    (file,) = tmp_path.glob("match-*.jsonl")
    (part,) = read_recording(file).parts
    assert part.header.digests == {"game/rules.md": "a"}
    assert part.later_digests == ({"game/rules.md": "b"}, {"game/rules.md": "c"})
    assert [(each.dir, each.kind, each.payload) for each in part.lines][2::2] == [
        ("int", "game", '{"game/rules.md":"b"}'),
        ("int", "game", '{"game/rules.md":"c"}'),
    ]
    assert part.end is not None and part.end.counts["int"] == 2


def test_events_of_later_versions_are_passed_over(tmp_path: Path) -> None:
    file = record(tmp_path, close=False)
    raw = file.read_bytes().replace(b'"kind":"account"', b'"kind":"weather"')
    file.write_bytes(raw)
    (part,) = read_recording(file, verify=False).parts
    assert [line.kind for line in part.lines][-1] == "weather" and part.later_digests == ()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.from_regex(r"\A\w[\w .:@+-]{0,127}\Z"), unique=True, min_size=1, max_size=4))
def test_every_match_has_a_file_of_its_own_on_any_system(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("names")
    writer = recorder(folder)
    for name in names:
        open_match(writer, MatchOpened(name, "camp", "tiny", False, Mode.STAR, False, None))
    writer.close()
    files = sorted(folder.iterdir())
    assert sorted(read_recording(file).parts[0].header.match or "" for file in files) == sorted(names)
    assert len({file.name.lower() for file in files}) == len(names)
    assert all(len(file.name.encode()) < 200 and file.name.isascii() and ":" not in file.name for file in files)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["c2s", "s2c"]), st.text()), max_size=8))
def test_any_text_comes_back_as_received(tmp_path_factory: pytest.TempPathFactory, frames: list[Any]) -> None:
    folder = tmp_path_factory.mktemp("texts")
    writer = recorder(folder)
    writer.match_opened(OPENED)
    for direction, text in frames:
        writer.frame(direction, "c1", "turn", "m1", text)
    writer.close()
    (file,) = folder.iterdir()
    assert [(each.dir, each.payload) for _, each in read_recording(file).lines] == frames


# When the disk refuses.


def test_a_folder_that_cannot_be_made_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotRecord, match="Name a folder"):
        MatchRecorder(tmp_path / "file" / "folder")


def test_what_cannot_be_written_is_said_once_and_nobody_else_is_harmed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    record(tmp_path)
    (file,) = tmp_path.glob("match-*.jsonl")
    file.unlink()
    file.mkdir()  # a folder in its place: every open fails
    writer = recorder(tmp_path)
    open_match(writer)
    open_match(writer, MatchOpened("m2", "camp", "tiny", False, Mode.STAR, False, None))
    writer.close()
    assert caplog.text.count("recording to") == 1
    (other,) = (each for each in tmp_path.glob("match-*.jsonl") if each.is_file())
    assert len(list(read_recording(other).parts[0].lines)) == 2
