"""The pack format: one safetensors file that holds many blocks and says by itself what they are.

A tensor is named `<key>.<name>`; keys hold no dot. The safetensors metadata has one entry, `hotseat.pack` (one,
because the order of several is not defined and the bytes are to be), which is canonical JSON:

    {"blocks": {key: {"checksum": hex, "note": text}}, "fingerprint": text, "format": "hotseat.pack",
     "match": text, "version": 1}

Shapes, dtypes and offsets stand in the safetensors header beside it. A checksum is blake2b-256 over the canonical JSON
of [fingerprint, key, note, [[name, dtype, shape], ...]] followed by the tensors' bytes, both in the order of the
names: a flipped bit anywhere in the file makes a block absent, never another block.

Packs are read with `read`, not mapped: a disk error or a truncation under a mapping kills the process (SIGBUS), and
bytes that were verified in a mapping may be read again from the disk later. They are written with `save_file`, because
`save` holds the GIL for its copies (measured 39 ms for 60 MiB; the turn beside it would wait).
"""

import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from kv_store.durable_files import TEMPORARY_SUFFIX, publish, remove
from kv_store.errors import BadBlock, Fault, PackUnreadable

FORMAT = "hotseat.pack"
VERSION = 1
MAX_HEADER_BYTES = 100_000_000  # safetensors' own limit
MAX_KEY_LENGTH = 200
DTYPES: Mapping[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}

Tensors = Mapping[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class BlockToWrite:
    """One block on its way into a pack."""

    key: str
    tensors: Tensors
    note: str


@dataclass(frozen=True, slots=True)
class WrittenBlock:
    """One block that lies in a pack: what the index keeps of it. `size_bytes` counts its tensors."""

    key: str
    checksum: str
    size_bytes: int
    note: str


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """Where one tensor of a block lies: `start` counts from the beginning of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class PackHeader:
    """What a pack says of itself: enough to index it."""

    fingerprint: str
    match: str
    blocks: Mapping[str, WrittenBlock]


def is_storable_text(text: str) -> bool:
    """Whether every database and file can hold this text (no half surrogate pairs, no NUL)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def check_block(key: str, tensors: Tensors) -> None:
    """Raise BadBlock when no pack can hold this; afterwards only the disk can refuse it."""
    if not 0 < len(key) <= MAX_KEY_LENGTH or "." in key or not is_storable_text(key):
        raise BadBlock(key, f"a key is 1 to {MAX_KEY_LENGTH} characters of text without a dot")
    for name, tensor in tensors.items():
        if not name or not is_storable_text(name):
            raise BadBlock(key, f"tensor name {name!r} is not text")
        if tensor.layout is not torch.strided or tensor.dtype not in _DTYPE_NAMES or tensor.is_meta:
            raise BadBlock(key, f"tensor {name!r} is not a dense tensor of one of {', '.join(DTYPES)}")


def checksum(
    fingerprint: str, key: str, note: str, tensors: Iterable[tuple[str, str, Sequence[int], memoryview]]
) -> str:
    """The checksum of a block from (name, dtype, shape, bytes) of each of its tensors; their order does not matter."""
    ordered = sorted(tensors, key=lambda tensor: tensor[0])
    digest = hashlib.blake2b(digest_size=32)
    description = [fingerprint, key, note, [[name, dtype, list(shape)] for name, dtype, shape, _ in ordered]]
    digest.update(_canonical(description).encode())
    for *_, content in ordered:
        digest.update(content)
    return digest.hexdigest()


def write_pack(path: Path, fingerprint: str, match: str, blocks: Sequence[BlockToWrite]) -> tuple[WrittenBlock, ...]:
    """Write a pack, durable under its final name. Raises OSError when the disk refuses; then nothing is left."""
    contents: dict[str, torch.Tensor] = {}
    written: list[WrittenBlock] = []
    for block in blocks:
        # A copy each: safetensors refuses tensors that share memory, and blocks are slices of one forward's output.
        copies = {
            name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, tensor in block.tensors.items()
        }
        described = [(name, _DTYPE_NAMES[copy.dtype], copy.shape, _bytes_of(copy)) for name, copy in copies.items()]
        digest = checksum(fingerprint, block.key, block.note, described)
        written.append(WrittenBlock(block.key, digest, sum(copy.nbytes for copy in copies.values()), block.note))
        contents.update({f"{block.key}.{name}": copy for name, copy in copies.items()})
    about = {
        "format": FORMAT,
        "version": VERSION,
        "fingerprint": fingerprint,
        "match": match,
        "blocks": {block.key: {"checksum": block.checksum, "note": block.note} for block in written},
    }
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    try:
        save_file(contents, temporary, metadata={FORMAT: _canonical(about)})
        publish(temporary, path)
    except SafetensorError as error:  # carries the operating system's refusal as text
        remove(temporary)
        raise OSError(str(error)) from error
    except OSError:
        remove(temporary)
        remove(path)
        raise
    return tuple(written)


class PackReader:
    """An open pack: whose it is, its header, and any of its blocks, verified. It raises nothing but PackUnreadable."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file: BinaryIO = open(path, "rb", buffering=0)
        except FileNotFoundError as error:
            raise PackUnreadable(path, Fault.MISSING, "the file is not there") from error
        except OSError as error:
            raise PackUnreadable(path, Fault.UNREADABLE, str(error)) from error
        try:
            self._size_bytes = os.fstat(self._file.fileno()).st_size
            with self._damage():
                self._load_header()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def header(self) -> PackHeader:
        """What the pack says of itself, all of it."""
        with self._damage():
            blocks = {key: self._block(key) for key in self._blocks}
            if not all(map(is_storable_text, (self.fingerprint, self.match, *blocks))):
                raise ValueError("a name in it is not valid text")
            return PackHeader(self.fingerprint, self.match, blocks)

    def read(self, key: str, fingerprint: str, expected: str) -> Tensors:
        """One block's tensors, in memory of their own, when fingerprint and checksum are as expected."""
        if self.fingerprint != fingerprint:
            raise PackUnreadable(self._path, Fault.FOREIGN, f"it belongs to fingerprint {self.fingerprint!r}")
        if key not in self._blocks:
            raise PackUnreadable(self._path, Fault.DAMAGED, f"block {key} is not in it")
        with self._damage():
            note, claimed = str(self._blocks[key]["note"]), str(self._blocks[key]["checksum"])
            tensors = self._tensors(key)
        parts = self._read_block(tensors)
        described = [(tensor.name, tensor.dtype, tensor.shape, _bytes_of(part)) for tensor, part in parts]
        found = checksum(fingerprint, key, note, described)
        if not found == expected == claimed:
            raise PackUnreadable(self._path, Fault.CHECKSUM, f"block {key} is not what was written")
        return {tensor.name: part.view(DTYPES[tensor.dtype]).view(tensor.shape) for tensor, part in parts}

    def _load_header(self) -> None:
        """Parse the header as far as every reading needs it; blocks are parsed one by one, when they are wanted."""
        length = int.from_bytes(self._file.read(8), "little")
        if length > min(MAX_HEADER_BYTES, self._size_bytes - 8):
            raise PackUnreadable(self._path, Fault.TRUNCATED, "the file ends within its header")
        text = bytearray(length)
        self._read_into(8, memoryview(text))
        self._data_start = 8 + length
        self._raw: dict[str, Any] = json.loads(text)
        about = json.loads(self._raw.pop("__metadata__")[FORMAT])
        if about["format"] != FORMAT or about["version"] != VERSION:
            raise PackUnreadable(self._path, Fault.FOREIGN, f"its format is {about['format']} {about['version']}")
        self.fingerprint, self.match = str(about["fingerprint"]), str(about["match"])
        self._blocks: dict[str, Any] = dict(about["blocks"])
        self._tensor_names: dict[str, list[str]] = {}
        for full_name in self._raw:
            self._tensor_names.setdefault(full_name.partition(".")[0], []).append(full_name)

    def _block(self, key: str) -> WrittenBlock:
        size_bytes = sum(tensor.size_bytes for tensor in self._tensors(key))
        return WrittenBlock(key, str(self._blocks[key]["checksum"]), size_bytes, str(self._blocks[key]["note"]))

    def _tensors(self, key: str) -> list[StoredTensor]:
        """A block's tensors in the order in which safetensors lays them out: by falling item size, then as they come.

        So every part of the block's buffer is aligned.
        """
        tensors = []
        for full_name in self._tensor_names.get(key, ()):
            value = self._raw[full_name]
            shape = tuple(map(int, value["shape"]))
            begin, end = map(int, value["data_offsets"])
            item_bytes = DTYPES[value["dtype"]].itemsize
            if begin < 0 or min(shape, default=0) < 0 or end - begin != math.prod(shape) * item_bytes:
                raise ValueError(f"tensor {full_name!r} has impossible offsets")
            name = full_name.partition(".")[2]
            tensors.append(StoredTensor(name, value["dtype"], shape, self._data_start + begin, end - begin))
        return sorted(tensors, key=lambda tensor: (-DTYPES[tensor.dtype].itemsize, tensor.start))

    @contextmanager
    def _damage(self) -> Iterator[None]:
        """Whatever a damaged header does to the code that parses it, it is a fault of the pack."""
        try:
            yield
        except OSError as error:
            raise PackUnreadable(self._path, Fault.UNREADABLE, str(error)) from error
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise PackUnreadable(self._path, Fault.DAMAGED, f"its header cannot be read ({error!r})") from error

    def _read_block(self, tensors: Sequence[StoredTensor]) -> list[tuple[StoredTensor, torch.Tensor]]:
        """The bytes of each tensor, all in one buffer. Tensors that lie side by side are read in one go."""
        if max((tensor.start + tensor.size_bytes for tensor in tensors), default=0) > self._size_bytes:
            raise PackUnreadable(self._path, Fault.TRUNCATED, "the file ends before the block does")
        buffer = torch.empty(sum(tensor.size_bytes for tensor in tensors), dtype=torch.uint8)
        target = _bytes_of(buffer)
        parts: list[tuple[StoredTensor, torch.Tensor]] = []
        run_start, run_at, at = 0, 0, 0
        for tensor in tensors:
            if tensor.start != run_start + (at - run_at):
                self._read_into(run_start, target[run_at:at])
                run_start, run_at = tensor.start, at
            parts.append((tensor, buffer[at : at + tensor.size_bytes]))
            at += tensor.size_bytes
        self._read_into(run_start, target[run_at:at])
        return parts

    def _read_into(self, start: int, target: memoryview) -> None:
        try:
            self._file.seek(start)
            filled = 0
            while filled < len(target):
                count = self._file.readinto(target[filled:])  # type: ignore[attr-defined]  # raw files have it
                if not count:
                    raise PackUnreadable(self._path, Fault.TRUNCATED, "the file ends within a block")
                filled += count
        except OSError as error:
            raise PackUnreadable(self._path, Fault.UNREADABLE, str(error)) from error


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _bytes_of(tensor: torch.Tensor) -> memoryview:
    return memoryview(tensor.reshape(-1).view(torch.uint8).numpy())  # type: ignore[arg-type]  # numpy's stubs
