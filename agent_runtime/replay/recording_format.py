"""Recordings of matches: JSON lines, appended as they happen, readable while they grow.

One file per match, `match-<name>.jsonl`; frames of no match (hello, malformed ones) are in `server.jsonl`. Every line
is written through to the operating system at once. A file is made of parts, one for each time a server process opened
the match, so that a match that outlived its server is one file:

    {"format":"hotseat.recording","version":1,"created":"...","match":"m1","game":"camp",...,"check":"..."}
    {"t_ns":1200,"seq":1,"dir":"c2s","conn":"c1","kind":"turn","payload":"{...}","check":"..."}
    {"end":{"t_ns":9000,"counts":{"c2s":4,"s2c":7,"int":2},"digest":"..."},"check":"..."}

`t_ns` is monotonic since the part began; absolute times rather than deltas, because lines get filtered. `dir` is `c2s`
or `s2c` with the text exactly as received or handed to the socket (a frame that shows a token has none), or `int` for
the server's own events: `account`, what a finished turn cost, and `game`, the digests that take the place of the
header's when the game's files were edited under the match (`hotseat serve --reload`); readers pass over events they do
not know. The end is missing, and the line before may be cut, where the server was killed. `check` is a digest of its
line, so that an edited line can be named.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from pydantic import TypeAdapter, ValidationError

from agent_runtime.replay.errors import EditedRecording, NewerRecording, NotARecording
from agent_runtime.turn import Json

FORMAT = "hotseat.recording"
VERSION = 1
# The kind of the line that says which files a game has from there on.
GAME_EVENT = "game"
# Longer than any header: what has no end of line by then is no recording.
_LONGEST_HEADER = 1 << 20

Direction = Literal["c2s", "s2c", "int"]


@dataclass(frozen=True, slots=True)
class Header:
    """How a part of a recording began. `match` is None in the file of frames that belong to no match.

    `digests` names what the decisions depend on: `weights`, `adapter` (empty for none), `tokenizer`, `fingerprint` (of
    all that keys and values depend on), and each file of the game's folder, as `game/rules.md`. `resumed` and `frame`
    are what the match started from.
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


_HEADER, _LINE, _END = TypeAdapter(Header), TypeAdapter(Line), TypeAdapter(End)
_DIGESTS = TypeAdapter(Mapping[str, str])


@dataclass(frozen=True, slots=True)
class Part:
    """What one server process recorded. Without `end` the server was killed or still runs.

    `counts` says how many lines of each direction there are. The lines themselves stay on the disk: `begin_byte` and
    `end_byte` tell where. `later_digests` are those that took the place of the header's, one after the other, because
    the game's files were edited meanwhile.
    """

    path: Path
    header: Header
    counts: Mapping[str, int]
    end: End | None
    begin_byte: int
    end_byte: int
    later_digests: tuple[Mapping[str, str], ...] = ()

    @property
    def lines(self) -> Iterator[Line]:
        """Every line, read anew each time, one at a time."""
        return (line for _, line in self.placed_lines())

    def placed_lines(self) -> Iterator[tuple[int, Line]]:
        """Every line with the place in the file where it begins, in bytes, for `line_at`."""
        with self.path.open("rb") as file:
            file.seek(self.begin_byte)
            at = self.begin_byte
            while raw := file.readline(self.end_byte - at):
                value = _json_object(raw)
                if value is not None:  # else it was cut
                    yield at, _LINE.validate_python(value)
                at += len(raw)


@dataclass(frozen=True, slots=True)
class Recording:
    """A file that was read. Its lines stay on the disk and are read anew by everyone who asks for them.

    `digest` is that of the whole file, wherever it lies. `cut_lines` are the numbers of the lines that end in their
    middle, from 1: left out of the parts.
    """

    path: Path
    parts: tuple[Part, ...]
    digest: str
    cut_lines: tuple[int, ...] = ()

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

    Without `verify` a file is taken whose lines were filtered or changed on purpose. However long a recording is, one
    line of it is in memory at a time. What is appended meanwhile belongs to the next reading.
    """
    reader = _Reader(path, verify)
    with path.open("rb") as file:
        raw = file.readline(_LONGEST_HEADER)
        if len(raw) == _LONGEST_HEADER:  # a file of another kind may be one endless line
            raise NotARecording(path)
        while raw:
            following = file.readline()
            reader.take(raw, following or None)
            raw = following
    return reader.finish()


def line_at(file: BinaryIO, place: int) -> Line:
    """Return the line that begins at a place which `Part.placed_lines` told."""
    file.seek(place)
    return _LINE.validate_python(json.loads(file.readline()))


class _Reader:
    """Takes one line after another and gathers them into parts."""

    def __init__(self, path: Path, verify: bool) -> None:
        self._path = path
        self._verify = verify
        self._parts: list[Part] = []
        self._header: Header | None = None
        self._counts = no_lines()
        self._cut: list[int] = []
        self._later_digests: list[Mapping[str, str]] = []
        self._number = 0
        self._at = self._began_at = 0
        self._digest, self._whole = new_digest(), new_digest()

    def take(self, raw: bytes, following: bytes | None) -> None:
        """`following` is the line after this one, if there is one."""
        self._number += 1
        self._whole.update(raw)
        value = self._parse(raw, following)
        if value is not None:
            try:
                self._take(value)
            except ValidationError as error:
                first = error.errors(include_url=False, include_input=False)[0]
                where = ".".join(map(str, first["loc"]))
                raise self._edited(f"its field {where!r} is not as it should be ({first['msg']})") from None
            self._digest.update(raw)
        self._at += len(raw)
        if value is not None and "format" in value:
            self._began_at = self._at

    def finish(self) -> Recording:
        """Everything that was taken."""
        self._finish_part(None)
        if not self._parts:
            raise NotARecording(self._path)
        return Recording(self._path, tuple(self._parts), self._whole.hexdigest(), tuple(self._cut))

    def _take(self, value: dict[str, Json]) -> None:
        if "format" in value:
            self._begin(value)
        elif self._header is None:
            raise self._edited("it stands behind the end of its part")
        elif "end" in value:
            self._finish_part(self._end(_END.validate_python(value["end"])))
        else:
            self._count(_LINE.validate_python(value))

    def _parse(self, raw: bytes, following: bytes | None) -> dict[str, Json] | None:
        """The JSON object in a line; None for one that was cut when the server was killed."""
        value = _json_object(raw)
        if self._number == 1 and (value is None or value.get("format") != FORMAT):
            raise NotARecording(self._path)
        if value is None:
            is_cut = not raw.endswith(b"\n") if following is None else following.startswith(b'{"format":')
            if is_cut:
                self._cut.append(self._number)
            if is_cut or not self._verify:
                return None
            raise self._edited("it is not a JSON object")
        # Before the check: how a later version seals its lines is not for us to say.
        if "format" in value and isinstance(value.get("version"), int) and value["version"] > VERSION:
            raise NewerRecording(self._path, value["version"], VERSION, self._number)
        if self._verify and not _is_sealed(raw):
            raise self._edited("its text does not fit its check")
        return value

    def _begin(self, value: dict[str, Json]) -> None:
        if value["format"] != FORMAT or type(value.get("version")) is not int:
            raise self._edited("it is no header of a part")
        self._finish_part(None)
        self._header = _HEADER.validate_python(value)
        self._digest = new_digest()

    def _count(self, line: Line) -> None:
        self._counts[line.dir] += 1
        due = sum(self._counts.values())
        if self._verify and line.seq != due:
            raise self._edited(f"it has number {line.seq} where {due} is due")
        if (line.dir, line.kind) == ("int", GAME_EVENT):
            self._later_digests.append(_DIGESTS.validate_json(line.payload))

    def _end(self, end: End) -> End:
        if self._verify and (end.counts != self._counts or end.digest != self._digest.hexdigest()):
            raise self._edited("the lines before it are not those that it counted")
        return end

    def _finish_part(self, end: End | None) -> None:
        if self._header is not None:
            digests = tuple(self._later_digests)
            self._parts.append(Part(self._path, self._header, self._counts, end, self._began_at, self._at, digests))
        self._header = None
        self._later_digests = []
        self._counts = no_lines()

    def _edited(self, why: str) -> EditedRecording:
        return EditedRecording(self._path, self._number, why)


def no_lines() -> dict[str, int]:
    """How many lines of each direction there are when a part begins."""
    return {"c2s": 0, "s2c": 0, "int": 0}


def new_digest() -> "hashlib.blake2b":
    """What a part's end is the digest of: its bytes, fed in their order."""
    return hashlib.blake2b(digest_size=16)


def _json_object(raw: bytes) -> dict[str, Json] | None:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _check(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=6).hexdigest().encode()


def _is_sealed(raw: bytes) -> bool:
    body, _, check = raw.rstrip(b"\n").rpartition(b',"check":"')
    return check == _check(body) + b'"}'
