"""The store's errors: what a disk, another process or a caller can cause. Each sentence says what to do.

StoreError
├── StoreLocked        another process holds the folder
├── NoStore            a folder to look into that is missing, or in which no store was ever opened
├── StoreUnusable      the folder cannot be made, read or written
├── IndexDamaged       the index database cannot be read (the packs can, and the index is rebuilt from them)
├── SchemaTooNew       the index was written by a newer Hotseat
├── StoreWriteError    a flush that the disk refused, or that ran out of time; nothing is lost, it is retried
├── StoreClosed        the store was used after close
├── BadBlock           a key or tensors that no pack can hold
├── BadDocument        a document whose body is not JSON, or whose name no database can hold
├── BadMatch           a match id that no database can hold
└── PackUnreadable     a pack, or one block of it, cannot be used; `Store` makes it an absent block, counted by `Fault`
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class StoreError(Exception):
    """Base of all."""


class Fault(StrEnum):
    """Why a stored block could not be used. Every one of them is a miss, never an answer."""

    MISSING = "missing"  # the pack file is not there
    UNREADABLE = "unreadable"  # the operating system refuses to read it
    DAMAGED = "damaged"  # the header is not a pack's, or does not hold the block that the index promises
    TRUNCATED = "truncated"  # the file ends before the block does
    CHECKSUM = "checksum"  # the bytes are not those that were written
    FOREIGN = "foreign"  # another fingerprint, or a newer pack format


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds a store's lock, as it introduced itself. `since_s` is Unix time."""

    pid: int
    host: str
    since_s: int


@dataclass
class StoreLocked(StoreError):
    """Another process holds the folder; `holder` is None when it has not said who it is."""

    folder: Path
    holder: Holder | None

    def __str__(self) -> str:
        who = f"process {self.holder.pid} on {self.holder.host}" if self.holder else "another process"
        return (
            f"The store at {self.folder} is in use by {who}. Stop that process, or give this one another folder: "
            "two servers cannot share a store."
        )


@dataclass
class NoStore(StoreError):
    """There is nothing to look into: `found` is what there is instead, `near` a store close by."""

    folder: Path
    found: str
    near: Path | None = None

    def __str__(self) -> str:
        hint = f" Did you mean {self.near}?" if self.near else ""
        return (
            f"There is no store at {self.folder}: {self.found}.{hint} Name the folder that `hotseat serve --store` was "
            "given; a server makes it when it starts."
        )


@dataclass
class StoreUnusable(StoreError):
    """The folder cannot be made, read or written."""

    folder: Path
    why: str

    def __str__(self) -> str:
        return (
            f"The store at {self.folder} cannot be opened: {self.why}. Make the folder readable and writable, free "
            "space on its disk, or name another folder."
        )


@dataclass
class IndexDamaged(StoreError):
    """The index database cannot be read."""

    folder: Path
    why: str

    def __str__(self) -> str:
        return (
            f"The index of the store at {self.folder} is damaged: {self.why}. Run `hotseat store check --repair "
            f"{self.folder}`: it sets the file aside and rebuilds the index from the packs. Documents (sessions) are "
            "in the index only and are lost."
        )


@dataclass
class SchemaTooNew(StoreError):
    """The index was written by a newer Hotseat than this one."""

    folder: Path
    revision: str

    def __str__(self) -> str:
        return (
            f"The index of the store at {self.folder} has schema {self.revision!r}, which this Hotseat does not know. "
            "Upgrade Hotseat, or name another folder."
        )


@dataclass
class StoreWriteError(StoreError):
    """Not everything that was put is on disk yet. What is left waits in memory and is retried."""

    folder: Path
    why: str
    blocks: int
    bytes: int
    documents: int

    def __str__(self) -> str:
        return (
            f"The store at {self.folder} has not written everything: {self.why}. {self.blocks} blocks ({self.bytes} "
            f"bytes) and {self.documents} documents wait in memory and are retried. Free space on that disk, make the "
            "folder writable, or allow more time."
        )


@dataclass
class StoreClosed(StoreError):
    """The store was used after close."""

    folder: Path

    def __str__(self) -> str:
        return f"The store at {self.folder} is closed. Open it again."


@dataclass
class BadBlock(StoreError):
    """A key or tensors that no pack can hold."""

    key: str
    why: str

    def __str__(self) -> str:
        return f"Block {self.key!r} cannot be stored: {self.why}"


@dataclass
class BadDocument(StoreError):
    """A document that cannot be kept."""

    kind: str
    id: str
    why: str

    def __str__(self) -> str:
        return f"Document {self.kind}/{self.id!r} cannot be stored: {self.why}"


@dataclass
class BadMatch(StoreError):
    """A match id that no database can hold."""

    match: str

    def __str__(self) -> str:
        return (
            f"Match id {self.match!r} cannot be stored: it has a NUL or half a surrogate pair. Use valid Unicode text."
        )


@dataclass
class PackUnreadable(StoreError):
    """A pack, or one block of it, cannot be used."""

    path: Path
    fault: Fault
    why: str

    def __str__(self) -> str:
        return f"{self.path} ({self.fault}): {self.why}. Run `hotseat store check --repair` to remove what is bad."
