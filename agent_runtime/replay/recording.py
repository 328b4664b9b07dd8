"""Writes recordings: the server's recorder for `hotseat serve --record DIR`."""

import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Literal, Self
from urllib.parse import quote

from pydantic_core import to_json

from agent_runtime.replay.errors import CannotRecord
from agent_runtime.replay.recording_format import (
    FORMAT,
    GAME_EVENT,
    VERSION,
    Direction,
    Header,
    Line,
    new_digest,
    no_lines,
    seal,
)
from agent_runtime.server.messages import PROTOCOL
from agent_runtime.turn import Json, MatchOpened, TurnResult

log = logging.getLogger(__name__)

SERVER_FILE = "server.jsonl"


@dataclass(slots=True)
class _Part:
    """A part that is being written."""

    path: Path
    began_ns: int
    header: Header
    num_lines: int = 0
    counts: dict[str, int] = field(default_factory=no_lines)
    digest: "hashlib.blake2b" = field(default_factory=new_digest)
    is_broken: bool = False

    def write(self, raw: bytes) -> None:
        """Append a line. What cannot be written once is not tried again: a recording has no holes."""
        if self.is_broken:
            return
        try:
            # Opened for each line: any number of matches costs no handle, and a kill loses at most the line at hand.
            with self.path.open("ab") as file:
                file.write(raw)
        except OSError as error:
            self.is_broken = True
            log.error("recording to %s stops: %s", self.path, error)
        self.digest.update(raw)


@dataclass(frozen=True, slots=True)
class _Heard:
    """A frame of a match that is only being opened."""

    t_ns: int
    dir: Direction
    conn: str
    kind: str
    payload: str


class MatchRecorder:
    """Records into a folder; see `recording_format` for what is in it. Its methods return at once: a thread writes.

    `digests` gives, for the names of a model and a game, what decisions depend on. `clock_ns` is monotonic, `wall`
    tells the date.
    """

    def __init__(
        self,
        folder: Path,
        *,
        server: str = "hotseat",
        digests: Callable[[str, str], Mapping[str, str]] = lambda model, game: {},
        seed: int | None = None,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CannotRecord(folder, error.strerror or str(error)) from error
        self._folder = folder
        self._server = server
        self._digests = digests
        self._seed = seed
        self._clock_ns = clock_ns
        self._wall = wall
        self._parts: dict[str | None, _Part] = {}
        self._opening: dict[str, list[_Heard]] = {}
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._writer = threading.Thread(target=self._work, name="hotseat-recorder", daemon=True)
        self._writer.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write what is left, and the end of every part."""
        self._jobs.put(partial(self._end_all, self._clock_ns()))
        self._jobs.put(None)
        self._writer.join()

    def frame(self, direction: Literal["c2s", "s2c"], connection: str, kind: str, match: str | None, text: str) -> None:
        """A frame came or goes."""
        self._jobs.put(partial(self._heard, match, _Heard(self._clock_ns(), direction, connection, kind, text)))

    def match_opened(self, opened: MatchOpened) -> None:
        """A match is there: its part begins with its match.open."""
        self._jobs.put(partial(self._begin_match, opened))

    def match_refused(self, match: str) -> None:
        """A match is not there after all: what was said to it belongs to no match."""
        self._jobs.put(partial(self._refuse_match, match))

    def match_closed(self, match: str) -> None:
        """A match is over: so is its part."""
        self._jobs.put(partial(self._end, match, self._clock_ns()))

    def turn_finished(self, match: str, result: TurnResult) -> None:
        """A turn's account, also when its result went to nobody."""
        self._jobs.put(partial(self._account, match, self._clock_ns(), result))

    def game_taken(self, game: str) -> None:
        """The files of a game were edited, and its matches go on with what they say now."""
        self._jobs.put(partial(self._note_digests, game, self._clock_ns()))

    # On the writing thread.

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except Exception:  # the server lives on without its recording
                log.exception("a line was not recorded")

    def _heard(self, match: str | None, heard: _Heard) -> None:
        if match in self._parts:
            self._write(self._parts[match], heard)
        elif match is not None and (match in self._opening or heard.kind == "match.open"):
            self._opening.setdefault(match, []).append(heard)
        else:
            self._write(self._server_part(heard.t_ns), heard)

    def _begin_match(self, opened: MatchOpened) -> None:
        held = self._opening.pop(opened.match, [])
        if opened.match not in self._parts:
            header = Header(
                created=self._wall().isoformat(),
                protocol=PROTOCOL,
                server=self._server,
                match=opened.match,
                game=opened.game,
                model=opened.model,
                block_tuned=opened.block_tuned,
                mode=str(opened.mode),
                resumed=opened.resumed,
                frame=opened.frame,
                seed=self._seed,
                digests=dict(self._digests(opened.model, opened.game)),
            )
            began_ns = held[0].t_ns if held else self._clock_ns()
            self._parts[opened.match] = self._begin(_file_name(opened.match), header, began_ns)
        for each in held:
            self._write(self._parts[opened.match], each)

    def _refuse_match(self, match: str) -> None:
        for each in self._opening.pop(match, []):
            self._heard(None, each)

    def _account(self, match: str, t_ns: int, result: TurnResult) -> None:
        told = {"session": result.session, "turn_id": result.turn_id, "outcome": result.outcome}
        payload = to_json({**told, "account": result.account}).decode()
        self._heard(match, _Heard(t_ns, "int", "", "account", payload))

    def _note_digests(self, game: str, t_ns: int) -> None:
        for part in list(self._parts.values()):
            if part.header.game == game and part.header.model is not None:
                payload = to_json(dict(self._digests(part.header.model, game))).decode()
                self._write(part, _Heard(t_ns, "int", "", GAME_EVENT, payload))

    def _server_part(self, t_ns: int) -> _Part:
        if None not in self._parts:
            header = Header(created=self._wall().isoformat(), protocol=PROTOCOL, server=self._server)
            self._parts[None] = self._begin(SERVER_FILE, header, t_ns)
        return self._parts[None]

    def _begin(self, name: str, header: Header, began_ns: int) -> _Part:
        part = _Part(self._folder / name, began_ns, header)
        told = {key: each for key, each in asdict(header).items() if each is not None}
        raw = seal({"format": FORMAT, "version": VERSION, **told})
        if _ends_in_the_middle_of_a_line(part.path):  # the process before was killed
            part.write(b"\n")
            part.digest = new_digest()
        part.write(raw)
        return part

    def _write(self, part: _Part, heard: _Heard) -> None:
        part.num_lines += 1
        part.counts[heard.dir] += 1
        line = Line(heard.t_ns - part.began_ns, part.num_lines, heard.dir, heard.conn, heard.kind, heard.payload)
        part.write(seal(asdict(line)))

    def _end(self, match: str | None, t_ns: int) -> None:
        if (part := self._parts.pop(match, None)) is not None:
            counted: Json = {"t_ns": t_ns - part.began_ns, "counts": part.counts, "digest": part.digest.hexdigest()}
            part.write(seal({"end": counted}))

    def _end_all(self, t_ns: int) -> None:
        for match in list(self._opening):
            self._refuse_match(match)
        for name in list(self._parts):
            self._end(name, t_ns)


def _file_name(match: str) -> str:
    """Any match's name as the name of a file on any system; names that differ only in case stay apart."""
    readable = quote(match, safe=" @+")[:80]
    unique = hashlib.blake2b(match.encode(), digest_size=4).hexdigest()
    return f"match-{readable}-{unique}.jsonl"


def _ends_in_the_middle_of_a_line(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"
    except OSError:  # there is none, or it is empty
        return False
