"""Reconciling packs and index, both ways, with every checksum; and putting right what is wrong."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from kv_store.archive import Archive, need_store
from kv_store.database import INDEX_FILE, open_database, verify_database
from kv_store.durable_files import remove, sync_folder
from kv_store.errors import Fault, IndexDamaged, PackUnreadable
from kv_store.folder_lock import FolderLock
from kv_store.index import Index
from kv_store.pack import PackReader
from kv_store.records import IndexedBlock, Pack


class Problem(StrEnum):
    """What a check can find."""

    BAD_BLOCK = "bad block"  # the index promises it, the pack does not hold it (repair: forgotten, it will be put anew)
    BAD_PACK = "bad pack"  # the file is missing or unreadable as a whole (repair: removed)
    UNKNOWN_PACK = "unknown pack"  # a file without rows (repair: its sound blocks are indexed)
    TEMPORARY_FILE = "temporary file"  # left by a write that never finished (repair: deleted)
    UNREMOVED_FILE = "unremoved file"  # its rows are gone and it is still there (repair: deleted)
    DAMAGED_INDEX = "damaged index"  # the database is broken (repair: set aside and rebuilt from the packs)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: `where` is a path below the store's folder, with a key behind it if it is a block."""

    problem: Problem
    where: str
    why: str


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a check read and found. With `repaired`, every finding has been put right."""

    folder: Path
    packs: int
    blocks: int
    bytes: int
    findings: tuple[Finding, ...]
    repaired: bool

    @property
    def clean(self) -> bool:
        """Whether nothing was wrong."""
        return not self.findings

    def __str__(self) -> str:
        head = f"{self.folder}: {self.packs} packs, {self.blocks} blocks, {self.bytes} bytes"
        if self.clean:
            return f"{head}; everything is as it should be."
        end = "repaired." if self.repaired else f"run `hotseat store check --repair {self.folder}` to put it right."
        lines = [f"  {finding.problem}: {finding.where} ({finding.why})" for finding in self.findings]
        return "\n".join([f"{head}; {len(self.findings)} findings, {end}", *lines])


def check_store(folder: Path, *, repair: bool = False, url: str | None = None) -> CheckReport:
    """Check a store that no process uses. Raises NoStore, StoreLocked, StoreUnusable or SchemaTooNew."""
    if url is None:
        need_store(folder)
    lock = FolderLock(folder)
    try:
        damage: tuple[Finding, ...] = ()
        try:
            archive = _open(folder, url)
        except IndexDamaged as error:
            damage = (Finding(Problem.DAMAGED_INDEX, INDEX_FILE, error.why),)
            if not repair or url is not None:
                return CheckReport(folder, 0, 0, 0, damage, False)
            _set_aside(folder)
            archive = _open(folder, url)
        try:
            report = check_archive(archive, repair=repair)
        finally:
            archive.close()
        findings = (*damage, *report.findings)
        return CheckReport(folder, report.packs, report.blocks, report.bytes, findings, report.repaired or bool(damage))
    finally:
        lock.release()


def check_archive(archive: Archive, *, repair: bool) -> CheckReport:
    """Check the packs and index of a store; the caller holds the disk."""
    contents = archive.index.contents()
    removals = set(archive.index.removals())
    on_disk = list(archive.pack_files())
    of_pack: dict[int, list[IndexedBlock]] = {pack.id: [] for pack in contents.packs}
    for block in contents.blocks:
        of_pack[block.pack_id].append(block)
    findings: list[Finding] = []
    bad_blocks: list[tuple[str, int]] = []
    bad_packs: list[Pack] = []
    for pack in contents.packs:
        found = list(_verify(archive, pack, of_pack[pack.id]))
        findings += [finding for finding, _ in found]
        bad_blocks += [(key, pack.id) for _, key in found if key is not None]
        if any(key is None for _, key in found):
            bad_packs.append(pack)
    known_files = {pack.file for pack in contents.packs}
    unknown = [file for file in on_disk if file not in known_files and file not in removals]
    findings += [Finding(Problem.UNKNOWN_PACK, file, "the index has no rows for it") for file in unknown]
    findings += [Finding(Problem.UNREMOVED_FILE, file, "it is to be deleted") for file in on_disk if file in removals]
    temporary = list(archive.temporary_files())
    findings += [
        Finding(Problem.TEMPORARY_FILE, path.relative_to(archive.root).as_posix(), "a write did not finish")
        for path in temporary
    ]
    if repair and findings:
        with archive.index.transaction() as transaction:
            transaction.drop_blocks(bad_blocks)
            transaction.remove_packs(bad_packs)
        gone = {pack.id for pack in bad_packs}
        dropped = {key for key, _ in bad_blocks}
        known = {block.key for block in contents.blocks if block.pack_id not in gone and block.key not in dropped}
        for file in unknown:
            _adopt_sound(archive, file, known)
        for path in temporary:
            remove(path)
        archive.sweep()
    size_bytes = sum(pack.size_bytes for pack in contents.packs)
    return CheckReport(
        archive.root, len(contents.packs), len(contents.blocks), size_bytes, tuple(findings), repair and bool(findings)
    )


def _verify(archive: Archive, pack: Pack, blocks: list[IndexedBlock]) -> Iterator[tuple[Finding, str | None]]:
    """What is wrong with a pack and the blocks that the index sees in it; the key is None when it is the whole pack."""
    try:
        with PackReader(archive.path(pack)) as reader:
            if (reader.fingerprint, reader.match) != (pack.fingerprint, pack.match):
                raise PackUnreadable(archive.path(pack), Fault.FOREIGN, "it belongs to another match or fingerprint")
            for block in blocks:
                try:
                    reader.read(block.key, pack.fingerprint, block.checksum)
                except PackUnreadable as error:
                    yield (
                        Finding(Problem.BAD_BLOCK, f"{pack.file} {block.key}", f"{error.fault}: {error.why}"),
                        block.key,
                    )
    except PackUnreadable as error:
        yield Finding(Problem.BAD_PACK, pack.file, f"{error.fault}: {error.why}"), None


def _adopt_sound(archive: Archive, file: str, known: set[str]) -> None:
    """Index the blocks of an unknown pack that verify; a pack without any is removed."""
    sound: set[str] = set()
    with contextlib.suppress(PackUnreadable), PackReader(archive.root / file) as reader:
        for key, block in reader.header.blocks.items():
            with contextlib.suppress(PackUnreadable):
                reader.read(key, reader.fingerprint, block.checksum)
                sound.add(key)
    try:
        archive.adopt(file, known, sound)
    except PackUnreadable:
        with archive.index.transaction() as transaction:
            transaction.note_removals([file])


def _open(folder: Path, url: str | None) -> Archive:
    engine = open_database(folder, url)
    try:
        verify_database(folder, engine)
    except BaseException:
        engine.dispose()
        raise
    return Archive(folder, Index(engine))


def _set_aside(folder: Path) -> None:
    """Keep the broken index under another name, for whoever wants to look into it."""
    number = 1
    while (folder / f"{INDEX_FILE}.damaged-{number}").exists():
        number += 1
    for suffix in ("", "-wal", "-shm"):
        file = folder / f"{INDEX_FILE}{suffix}"
        if file.exists():
            file.replace(folder / f"{INDEX_FILE}.damaged-{number}{suffix}")
    sync_folder(folder)
