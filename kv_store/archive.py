"""What lies on the disk: pack files below `matches/`, and the index that knows them. One caller at a time.

Write order: pack file (temporary, fsync, rename, fsync of the folder), then its rows. Delete order: rows together with
a note of the file's removal, then the file, then the note. Whatever a crash cuts off, `recover` finishes at the next
start.
"""

import contextlib
import difflib
import time
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kv_store.database import INDEX_FILE
from kv_store.durable_files import is_temporary, make_folder, remove
from kv_store.errors import Fault, NoStore, PackUnreadable, StoreUnusable
from kv_store.folder_names import folder_name
from kv_store.index import Index
from kv_store.pack import BlockToWrite, PackReader, Tensors, write_pack
from kv_store.records import NewPack, Pack

MATCHES_FOLDER = "matches"
_PACK_PATTERN = "pack-*.safetensors"
_NAMES_SHOWN = 3


def need_store(folder: Path) -> None:
    """Raise NoStore for a folder that has neither an index nor packs, and StoreUnusable if nobody can tell."""
    try:
        if not _is_store(folder):
            raise NoStore(folder, _what_is_at(folder), _store_near(folder))
    except OSError as error:
        raise StoreUnusable(folder, str(error)) from error


def _is_store(folder: Path) -> bool:
    return (folder / INDEX_FILE).is_file() or any((folder / MATCHES_FOLDER).glob(f"*/{_PACK_PATTERN}"))


def _what_is_at(folder: Path) -> str:
    if not folder.exists():
        return f"the folder {folder.absolute()} does not exist"
    if not folder.is_dir():
        return "it is a file"
    names = sorted(path.name for path in folder.iterdir())
    if not names:
        return "the folder is empty"
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return f"the folder has no {INDEX_FILE}, but {', '.join(names[:_NAMES_SHOWN])}{more}"


def _store_near(folder: Path) -> Path | None:
    """The store that a path leads into, one right below it, or one beside it whose name is much like it."""
    if folder.is_dir():
        around = sorted(folder.iterdir())
    else:
        beside = [path.name for path in folder.parent.iterdir()] if folder.parent.is_dir() else []
        around = [folder.with_name(name) for name in difflib.get_close_matches(folder.name, beside)]
    for path in (*folder.parents[:3], *around):
        with contextlib.suppress(OSError):  # somebody else's folder
            if _is_store(path):
                return path
    return None


@dataclass(frozen=True, slots=True)
class Recovery:
    """What opening the store had to put right after the last process: counts, all zero after an orderly end."""

    adopted_packs: int = 0
    lost_packs: int = 0
    temporary_files: int = 0
    unreadable_files: int = 0


class Archive:
    """The packs and the index of one store."""

    def __init__(self, root: Path, index: Index) -> None:
        self.root = root
        self.index = index

    def path(self, pack: Pack | NewPack) -> Path:
        """Where a pack lies."""
        return self.root / pack.file

    def write(self, match: str, fingerprint: str, blocks: Sequence[BlockToWrite]) -> NewPack:
        """Write a pack into the match's folder, durably; it has no rows yet. Raises OSError when the disk refuses."""
        file = f"{MATCHES_FOLDER}/{folder_name(match)}/pack-{uuid.uuid4().hex}.safetensors"
        path = self.root / file
        make_folder(path.parent)
        written = write_pack(path, fingerprint, match, blocks)
        return NewPack(match, file, fingerprint, path.stat().st_size, written)

    def read(self, pack: Pack, checksums: Mapping[str, str]) -> tuple[dict[str, Tensors], dict[str, Fault]]:
        """These blocks of a pack, verified, and what is wrong with the others. Safe from any thread; raises nothing."""
        good: dict[str, Tensors] = {}
        bad: dict[str, Fault] = {}
        try:
            with PackReader(self.path(pack)) as reader:
                for key, checksum in checksums.items():
                    try:
                        good[key] = reader.read(key, pack.fingerprint, checksum)
                    except PackUnreadable as error:
                        bad[key] = error.fault
        except PackUnreadable as error:
            bad = dict.fromkeys(checksums, error.fault)
        return good, bad

    def discard(self, packs: Sequence[NewPack]) -> None:
        """Delete packs that got no rows; what cannot be deleted is adopted at the next start."""
        for pack in packs:
            remove(self.path(pack))

    def sweep(self) -> None:
        """Delete the files that are noted for removal, and folders that they leave empty."""
        files = self.index.removals()
        gone = [file for file in files if remove(self.root / file)]
        for folder in {(self.root / file).parent for file in gone}:
            with contextlib.suppress(OSError):  # not empty
                folder.rmdir()
        if gone:
            with self.index.transaction() as transaction:
                transaction.clear_removals(gone)

    def pack_files(self) -> Iterator[str]:
        """All pack files there are, known or not, by their path below the root."""
        for path in sorted((self.root / MATCHES_FOLDER).glob(f"*/{_PACK_PATTERN}")):
            yield path.relative_to(self.root).as_posix()

    def temporary_files(self) -> Iterator[Path]:
        """What unfinished writes left behind."""
        return (path for path in sorted((self.root / MATCHES_FOLDER).glob("*/*")) if is_temporary(path))

    def recover(self) -> Recovery:
        """Finish what the last process could not: removals, temporaries, rows without files, files without rows."""
        temporary = [path for path in self.temporary_files() if remove(path)]
        contents = self.index.contents()
        on_disk = set(self.pack_files())
        lost = [pack for pack in contents.packs if pack.file not in on_disk]
        if lost:
            with self.index.transaction() as transaction:
                transaction.remove_packs(lost)
        lost_ids = {pack.id for pack in lost}
        known = {block.key for block in contents.blocks if block.pack_id not in lost_ids}
        adopted, unreadable = 0, 0
        for file in sorted(on_disk - {pack.file for pack in contents.packs} - set(self.index.removals())):
            try:
                adopted += self.adopt(file, known) is not None
            except PackUnreadable:
                unreadable += 1
        with self.index.transaction() as transaction:
            transaction.remove_loose_ends()
        self.sweep()
        return Recovery(adopted, len(lost), len(temporary), unreadable)

    def adopt(self, file: str, known: set[str], sound: Collection[str] | None = None) -> Pack | None:
        """Index a pack that has no rows, from its own header (only its `sound` blocks, if given).

        Blocks already `known` stay where they are, and the pack's are added; a pack that brings nothing new is noted
        for removal. Raises PackUnreadable.
        """
        path = self.root / file
        with PackReader(path) as reader:
            header = reader.header
        fresh = [block for key, block in header.blocks.items() if key not in known and (sound is None or key in sound)]
        with self.index.transaction() as transaction:
            if not fresh:
                transaction.note_removals([file])
                return None
            new = NewPack(header.match, file, header.fingerprint, path.stat().st_size, tuple(header.blocks.values()))
            pack = transaction.add_pack(new, int(time.time()), fresh)
            transaction.link(header.match, [block.key for block in fresh])
        known.update(block.key for block in fresh)
        return pack

    def close(self) -> None:
        """Let go of the database."""
        self.index.engine.dispose()
