"""What the index holds, as the rest of the store sees it."""

from dataclasses import dataclass

from kv_store.pack import WrittenBlock


@dataclass(frozen=True, slots=True)
class Pack:
    """A pack that the index knows; `file` is its path below the store's folder, `num_blocks` counts dead ones too."""

    id: int
    match: str
    file: str
    fingerprint: str
    size_bytes: int
    num_blocks: int


@dataclass(frozen=True, slots=True)
class NewPack:
    """A pack file that was written and has no rows yet."""

    match: str
    file: str
    fingerprint: str
    size_bytes: int
    blocks: tuple[WrittenBlock, ...]


@dataclass(frozen=True, slots=True)
class IndexedBlock:
    """A block that the index knows."""

    key: str
    pack_id: int
    checksum: str
    size_bytes: int
    note: str
    last_used_s: int


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A document as the index holds it; `body` is JSON text."""

    kind: str
    id: str
    body: str
    version: int
    updated_s: int


@dataclass(frozen=True, slots=True)
class Contents:
    """Everything the index says about packs; blocks in the order of their last use, oldest first."""

    packs: tuple[Pack, ...]
    blocks: tuple[IndexedBlock, ...]
    links: tuple[tuple[str, str], ...]
