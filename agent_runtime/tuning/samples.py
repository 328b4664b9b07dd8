"""Samples, the currency of block tuning, and the files they lie in.

A sample is one state of a game as blocks, with several questions about it, each asked alone behind the same blocks. A
file of samples is JSON lines, gzipped if its name ends in `.gz`:

    {"format":"hotseat-samples-3","generator":"gamecore","arguments":{...},"version":"0.1.0","seed":1,"split":"train",
     "games":{"gamecore":{"rules.md":"<digest>",...}},"held_out":["quest"]}
    {"digest":"<16 hex digits>","sample":{"game":...,"blocks":[[name,text],...],"asks":[...]}}
    {"end":2000}

`digest` is that of the sample's text as it stands in the line, so that an edited line can be named, and `end` counts
the samples, so that a cut file can. Both ways one line is in memory at a time. A file comes into being whole or not
at all: it is written beside its place and renamed. Files of earlier formats are read too: asks of the first have no
`also`, and headers of the first two do not say what is held out.
"""

import gzip
import io
import json
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, Literal

from agent_runtime.errors import CannotWrite
from agent_runtime.tuning.errors import CutSamples, EditedSamples, NewerSamples, NotSamples

FORMAT = "hotseat-samples-3"
_READ = ("hotseat-samples-1", "hotseat-samples-2", FORMAT)
# What generators held out when neither files nor reports said so.
_HELD_OUT_BEFORE: Mapping[str, tuple[str, ...]] = MappingProxyType({"gamecore": ("quest",)})
Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

_BEFORE_DIGEST, _BEFORE_SAMPLE = b'{"digest":"', b'","sample":'
_DIGEST_BYTES = 8
_SAMPLE_START = len(_BEFORE_DIGEST) + 2 * _DIGEST_BYTES + len(_BEFORE_SAMPLE)
# Longer than any header: what has no end of line by then is no file of samples.
_LONGEST_HEADER = 1 << 20

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Ask:
    """One question about a sample's state.

    `observation` is what the prompt ends in, `target` what the model is to write, without the end-of-turn token;
    `answer` is what exact match compares: the last part of the target, behind its last "; ". For a decision `actions`
    are the texts of all legal answers, the target among them, and `also` those that are as right as the target:
    training takes the target, evaluation any of them. `chance` is the probability that a blind guess is right.
    """

    observation: str
    target: str
    answer: str
    kind: str
    actions: tuple[str, ...] = ()
    chance: float = 0.0
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """One state of a game: its anchor's text, its blocks (name, text) in the order of the prompt, and questions."""

    game: str
    family: str
    split: Split
    seed: int
    anchor: str
    blocks: tuple[tuple[str, str], ...]
    asks: tuple[Ask, ...]


@dataclass(frozen=True, slots=True)
class Header:
    """What made a file of samples; `games` are the digests of the files of each game's folder.

    `held_out` are the kinds of questions that the generator asks in no split called train.
    """

    generator: str
    arguments: Mapping[str, Any]
    version: str
    seed: int
    split: Split
    games: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    held_out: tuple[str, ...] = ()


def encode_sample(sample: Sample) -> bytes:
    """Return a sample as its line, the newline included."""
    text = _encode(asdict(sample)).encode()
    return b"".join((_BEFORE_DIGEST, _digest(text), _BEFORE_SAMPLE, text, b"}\n"))


class SampleWriter:
    """A file of samples being written; a context manager. If its block raises, no file is left.

    Raises CannotWrite.
    """

    def __init__(self, path: Path, header: Header) -> None:
        self._path = path
        self._header = header
        self._part = path.with_name(f".{path.name}.{os.getpid()}.part")
        self._num_samples = 0

    def __enter__(self) -> "SampleWriter":
        with self._told():
            self._raw: IO[bytes] = self._part.open("wb")
            # No time and no name inside: the same samples are the same bytes.
            is_zipped = self._path.suffix == ".gz"
            self._file: IO[bytes] = (
                gzip.GzipFile("", "wb", compresslevel=6, fileobj=self._raw, mtime=0) if is_zipped else self._raw  # type: ignore[assignment]
            )
            self._line({"format": FORMAT, **asdict(self._header)})
        return self

    def write(self, sample: Sample) -> None:
        """Append a sample."""
        self.write_line(encode_sample(sample))

    def write_line(self, line: bytes) -> None:
        """Append what `encode_sample` made, in this process or another."""
        with self._told():
            self._file.write(line)
        self._num_samples += 1

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            with self._told():
                if kind is None:
                    self._line({"end": self._num_samples})
                self._file.close()
                self._raw.close()
                if kind is None:
                    os.replace(self._part, self._path)
        finally:
            with suppress(OSError):
                self._raw.close()
            self._part.unlink(missing_ok=True)

    def _line(self, value: Mapping[str, Any]) -> None:
        self._file.write(f"{_encode(value)}\n".encode())

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise CannotWrite(self._path, error.strerror or str(error)) from error


def read_header(path: Path) -> Header:
    """Return what made a file. Raises NotSamples, NewerSamples."""
    with _opened(path) as file:
        return _header(path, file)


def held_out_of(said: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the kinds that a file holds out, by its header or by what a report says of it, of before or of now."""
    return tuple(said.get("held_out", _HELD_OUT_BEFORE.get(said.get("generator", ""), ())))


def read_samples(path: Path, *, part: int = 0, parts: int = 1) -> Iterator[Sample]:
    """Yield the samples of a file in their order, of `parts` equal shares only one: numbers part, part + parts, ...

    Every line is checked. Raises SamplesError (its kinds: agent_runtime.tuning.errors), at the line that is wrong.
    """
    for number, text in enumerate(read_texts(path)):
        if number % parts == part:
            yield sample_of(path, number, text)


def read_texts(path: Path) -> Iterator[bytes]:
    """Yield the samples' texts as `sample_of` takes them, every line checked as by `read_samples`. Raises SamplesError.

    A sample is not built: that takes several times as long.
    """
    with _opened(path) as file:
        _header(path, file)
        number = 0
        while True:
            with _not_cut(path, number + 2):
                line = file.readline()
            if not line.endswith(b"\n"):
                raise CutSamples(path, number + 2)
            if line.startswith(b'{"end":'):
                _check_end(path, file, line, number)
                return
            yield _checked(path, number + 2, line)
            number += 1


def sample_of(path: Path, number: int, text: bytes) -> Sample:
    """Return sample `number` (from 0) of a file from its text. Raises EditedSamples if it is none."""
    try:
        values = json.loads(text)
        values["asks"] = tuple(_ask(ask) for ask in values["asks"])
        values["blocks"] = tuple((name, block) for name, block in values["blocks"])
        return Sample(**values)
    except (TypeError, ValueError, KeyError) as error:
        raise EditedSamples(path, number + 2, f"this is no sample ({error})") from None


def _digest(text: bytes) -> bytes:
    return blake2b(text, digest_size=_DIGEST_BYTES).hexdigest().encode()


@contextmanager
def _opened(path: Path) -> Iterator[io.BufferedIOBase]:
    opener: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
    try:
        file = opener(path, "rb")
    except OSError as error:
        raise NotSamples(path, f"it cannot be read ({error.strerror})") from None
    with file:
        yield file


def _header(path: Path, file: io.BufferedIOBase) -> Header:
    try:
        line = file.readline(_LONGEST_HEADER)
        values = json.loads(line)
        said = values.pop("format")
    except (OSError, EOFError, zlib.error, ValueError, AttributeError, TypeError, KeyError):
        raise NotSamples(path) from None
    if said not in _READ:
        if isinstance(said, str) and said.startswith("hotseat-samples-"):
            raise NewerSamples(path, said, FORMAT)
        raise NotSamples(path, f"its format is {said!r}")
    try:
        return Header(**{**values, "held_out": held_out_of(values)})
    except TypeError as error:
        raise EditedSamples(path, 1, f"this is no header ({error})") from None


def _checked(path: Path, number: int, line: bytes) -> bytes:
    """The sample's text in a line."""
    text = line[_SAMPLE_START:-2]
    if line != b"".join((_BEFORE_DIGEST, _digest(text), _BEFORE_SAMPLE, text, b"}\n")):
        raise EditedSamples(path, number, "the digest is not that of this line")
    return text


def _ask(values: dict[str, Any]) -> Ask:
    values["actions"] = tuple(values["actions"])
    values["also"] = tuple(values.get("also", ()))
    return Ask(**values)


def _check_end(path: Path, file: io.BufferedIOBase, line: bytes, number: int) -> None:
    if line != f"{_encode({'end': number})}\n".encode():
        raise EditedSamples(path, number + 2, f"there are {number} samples before it and it counts others")
    with _not_cut(path, number + 2):
        behind = file.read(1)
    if behind:
        raise EditedSamples(path, number + 3, "there is something behind the end")


@contextmanager
def _not_cut(path: Path, number: int) -> Iterator[None]:
    """Where gzip finds that its bytes end or make no sense, the file is cut."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise CutSamples(path, number) from None
