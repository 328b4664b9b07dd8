"""Recordings of a match in which little happens."""

import hashlib
import itertools
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent_runtime.replay.recording import MatchRecorder
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


def check(line: bytes) -> bytes:
    body = line[: line.rindex(b',"check":')]
    return hashlib.blake2b(body, digest_size=6).hexdigest().encode()
