"""Recordings: written line by line and pinned to the byte."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_runtime.replay.errors import CannotRecord
from agent_runtime.replay.recording import MatchRecorder
from agent_runtime.replay.recording_format import read_recording
from agent_runtime.turn import MatchOpened, Mode
from tests.agent_runtime.replay.recorded import OPENED, check, open_match, record, recorder


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
