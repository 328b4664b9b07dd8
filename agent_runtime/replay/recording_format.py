"""Recordings of matches: JSON lines, appended as they happen, readable while they grow.

One file per match, `match-<name>.jsonl`; frames of no match (hello, malformed ones) are in `server.jsonl`. Every line
is written through to the operating system at once. A file is made of parts, one for each time a server process opened
the match, so that a match that outlived its server is one file:

    {"format":"hotseat.recording","version":1,"created":"...","match":"m1","game":"camp",...,"check":"..."}
    {"t_ns":1200,"seq":1,"dir":"c2s","conn":"c1","kind":"turn","payload":"{...}","check":"..."}
    {"end":{"t_ns":9000,"counts":{"c2s":4,"s2c":7,"int":2},"digest":"..."},"check":"..."}

`t_ns` is monotonic since the part began; absolute times rather than deltas, because lines get filtered. `dir` is `c2s`
or `s2c` with the text exactly as received or handed to the socket (a frame that shows a token has none), or `int` for
the server's own events: `account`, what a finished turn cost. The end is missing, and the line before may be cut, where
the server was killed. `check` is a digest of its line, so that an edited line can be named.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from agent_runtime.replay.errors import EditedRecording, NewerRecording, NotARecording
from agent_runtime.turn import Json

FORMAT = "hotseat.recording"
VERSION = 1

Direction = Literal["c2s", "s2c", "int"]


@dataclass(frozen=True, slots=True)
class Header:
    """How a part of a recording began. `match` is None in the file of frames that belong to no match.

    `digests` names what the decisions depend on, as `model` and `tokenizer`; `resumed` and `frame` are what the match
    started from.
    """

    created: str
    protocol: str
    server: str
    match: str | None = None
    game: str | None = None
    model: str | None = None
    block_tuned: bool | None = None
    mode: str | None = None
    resumed: bool | None = None
    frame: int | None = None
    seed: int | None = None
    digests: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One frame, or one event of the server's own (`dir` "int", `conn` empty)."""

    t_ns: int
    seq: int
    dir: Direction
    conn: str
    kind: str
    payload: str


@dataclass(frozen=True, slots=True)
class End:
    """How a part ended: when, how many lines of each direction, and the digest of every byte before."""

    t_ns: int
    counts: Mapping[str, int]
    digest: str


@dataclass(frozen=True, slots=True)
class Part:
    """What one server process recorded. Without `end` the server was killed or still runs."""

    header: Header
    lines: tuple[Line, ...]
    end: End | None


@dataclass(frozen=True, slots=True)
class Recording:
    """A file that was read."""

    path: Path
    parts: tuple[Part, ...]

    @property
    def lines(self) -> Iterator[tuple[int, Line]]:
        """Every line, with the number of its part: `t_ns` begins again in each."""
        return ((number, line) for number, part in enumerate(self.parts) for line in part.lines)


def seal(value: Mapping[str, Json]) -> bytes:
    """A line as it is written: compact JSON that ends in its own check, and a newline."""
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":"))[:-1].encode()
    return b'%s,"check":"%s"}\n' % (body, _check(body))


def read_recording(path: Path, *, verify: bool = True) -> Recording:
    """Read a recording, tolerating a last line that was cut. Raises NotARecording, NewerRecording or EditedRecording.

    Without `verify` a file is taken whose lines were filtered or changed on purpose.
    """
    reader = _Reader(path, verify)
    with path.open("rb") as file:
        raw_lines = file.readlines()
    for index, raw in enumerate(raw_lines):
        reader.take(index + 1, raw, raw_lines[index + 1] if index + 1 < len(raw_lines) else None)
    return reader.finish()


class _Reader:
    """Takes one line after another and gathers them into parts."""

    def __init__(self, path: Path, verify: bool) -> None:
        self._path = path
        self._verify = verify
        self._parts: list[Part] = []
        self._header: Header | None = None
        self._lines: list[Line] = []
        self._digest = new_digest()

    def take(self, number: int, raw: bytes, following: bytes | None) -> None:
        """`following` is the line after this one, if there is one."""
        value = self._parse(number, raw, following)
        if value is None:
            return
        try:
            if "format" in value:
                self._begin(value)
            elif self._header is None:
                raise self._edited(number, "it stands behind the end of its part")
            elif "end" in value:
                self._finish_part(self._end(number, value["end"]))
            else:
                self._lines.append(self._line(number, value))
        except (KeyError, TypeError) as error:
            raise self._edited(number, f"a field is missing or of another type ({error})") from None
        self._digest.update(raw)

    def finish(self) -> Recording:
        """Everything that was taken."""
        self._finish_part(None)
        if not self._parts:
            raise NotARecording(self._path)
        return Recording(self._path, tuple(self._parts))

    def _parse(self, number: int, raw: bytes, following: bytes | None) -> dict[str, Json] | None:
        """The JSON object in a line; None for one that was cut when the server was killed."""
        try:
            value = json.loads(raw)
        except ValueError:
            value = None
        if number == 1 and not (isinstance(value, dict) and value.get("format") == FORMAT):
            raise NotARecording(self._path)
        if not isinstance(value, dict):
            is_cut = not raw.endswith(b"\n") if following is None else following.startswith(b'{"format":')
            if is_cut or not self._verify:
                return None
            raise self._edited(number, "it is not a JSON object")
        if self._verify and not _is_sealed(raw):
            raise self._edited(number, "its text does not fit its check")
        return value

    def _begin(self, value: dict[str, Json]) -> None:
        if value["version"] > VERSION:
            raise NewerRecording(self._path, value["version"], VERSION)
        self._finish_part(None)
        known = {field.name for field in fields(Header)}
        self._header = Header(**{name: each for name, each in value.items() if name in known})
        self._digest = new_digest()

    def _line(self, number: int, value: dict[str, Json]) -> Line:
        line = Line(*(value[field.name] for field in fields(Line)))
        if self._verify and line.seq != len(self._lines) + 1:
            raise self._edited(number, f"it has number {line.seq} where {len(self._lines) + 1} is due")
        return line

    def _end(self, number: int, value: dict[str, Json]) -> End:
        end = End(value["t_ns"], value["counts"], value["digest"])
        if self._verify and (end.counts != count(self._lines) or end.digest != self._digest.hexdigest()):
            raise self._edited(number, "the lines before it are not those that it counted")
        return end

    def _finish_part(self, end: End | None) -> None:
        if self._header is not None:
            self._parts.append(Part(self._header, tuple(self._lines), end))
        self._header = None
        self._lines = []

    def _edited(self, number: int, why: str) -> EditedRecording:
        return EditedRecording(self._path, number, why)


def count(lines: Iterable[Line]) -> dict[str, int]:
    """How many lines there are of each direction."""
    counts = {"c2s": 0, "s2c": 0, "int": 0}
    for line in lines:
        counts[line.dir] += 1
    return counts


def new_digest() -> "hashlib.blake2b":
    """What a part's end is the digest of: its bytes, fed in their order."""
    return hashlib.blake2b(digest_size=16)


def _check(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=6).hexdigest().encode()


def _is_sealed(raw: bytes) -> bool:
    body, _, check = raw.rstrip(b"\n").rpartition(b',"check":"')
    return check == _check(body) + b'"}'
