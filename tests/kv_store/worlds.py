"""Small worlds for the store's tests: blocks whose content follows from their key, and stores that are closed again."""

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from kv_store.archive import Archive
from kv_store.database import open_database
from kv_store.index import Index
from kv_store.limits import StoreLimits
from kv_store.pack import BlockToWrite, Tensors
from kv_store.store import Store

FINGERPRINT = "tiny-model"
# Lingering makes what is put before a flush one batch, however the threads run.
QUICK = StoreLimits(pack_bytes=1 << 20, linger_s=60.0, retry_first_s=0.001, retry_most_s=0.01)


def tensors_of(key: str, length: int = 64) -> dict[str, torch.Tensor]:
    """What lies under a key in every test: `length` bytes in two tensors that the key determines."""
    stream = hashlib.shake_128(key.encode()).digest(length)
    half = length // 4 * 2
    return {
        "k": torch.frombuffer(bytearray(stream[:half]), dtype=torch.int16).clone(),
        "v": torch.frombuffer(bytearray(stream[half:]), dtype=torch.uint8).clone(),
    }


def same(found: Tensors, expected: Tensors) -> bool:
    """Whether two blocks are equal to the bit."""
    return found.keys() == expected.keys() and all(
        found[name].dtype == tensor.dtype and torch.equal(found[name], tensor) for name, tensor in expected.items()
    )


def block(key: str, length: int = 64, note: str = "") -> BlockToWrite:
    """The block under a key, ready to be written."""
    return BlockToWrite(key, tensors_of(key, length), note)


def put_all(store: Store, match: str, keys: list[str], length: int = 64) -> None:
    """Put the blocks of these keys, and wait until they are durable."""
    for key in keys:
        store.put(match, key, tensors_of(key, length))
    store.flush(10)


@contextmanager
def opened(folder: Path, **options: object) -> Iterator[Store]:
    """A store that is drained and closed at the end."""
    given = {"fingerprint": FINGERPRINT, "limits": QUICK, **options}
    store = Store(folder, **given)  # type: ignore[arg-type]
    try:
        yield store
    finally:
        store.close(10)


@contextmanager
def opened_archive(folder: Path) -> Iterator[Archive]:
    """Packs and index without a writer."""
    folder.mkdir(parents=True, exist_ok=True)
    archive = Archive(folder, Index(open_database(folder, None)))
    try:
        yield archive
    finally:
        archive.close()


def only_pack(folder: Path) -> Path:
    """The one pack file of a store."""
    (path,) = pack_paths(folder)
    return path


def pack_paths(folder: Path) -> list[Path]:
    """All pack files of a store."""
    return sorted((folder / "matches").glob("*/pack-*.safetensors"))


def flip_byte(path: Path, position: int) -> None:
    """Damage one byte of a file; a negative position counts from the end."""
    content = bytearray(path.read_bytes())
    content[position] ^= 0x40
    path.write_bytes(content)


def wrong_books(store: Store) -> list[str]:
    """What does not add up in a store's books, seen while nobody changes them."""
    with store._disk, store._lock:
        return store._books.check()


def copy_store(source: Path, target: Path) -> None:
    """Copy a closed store."""
    shutil.copytree(source, target)
