"""What a store holds, match by match, as `hotseat store ls` prints it; readable while a server uses the store."""

from dataclasses import dataclass
from pathlib import Path

from kv_store.archive import MATCHES_FOLDER, need_store
from kv_store.database import open_for_reading, translated
from kv_store.errors import Holder
from kv_store.folder_lock import holder_of
from kv_store.index import Index
from kv_store.records import Contents


@dataclass(frozen=True, slots=True)
class MatchListing:
    """One match. `blocks` and `size_bytes` are what it uses, `shared_blocks` of them lie in another match's packs;
    `pack_bytes` are the files in its own folder. `last_used_s` is Unix time, coarse, None when it uses nothing."""

    match: str
    folder: Path
    packs: int
    pack_bytes: int
    blocks: int
    shared_blocks: int
    size_bytes: int
    last_used_s: int | None


@dataclass(frozen=True, slots=True)
class StoreListing:
    """A store: its matches, its sizes, and the process that uses it now. What is queued there does not show yet."""

    folder: Path
    holder: Holder | None
    matches: tuple[MatchListing, ...]
    packs: int
    blocks: int
    pack_bytes: int


def list_store(folder: Path, *, url: str | None = None) -> StoreListing:
    """Read what a store holds without taking its lock. Raises NoStore, StoreUnusable or IndexDamaged."""
    if url is None:
        need_store(folder)
    engine = open_for_reading(folder, url)
    try:
        with translated(folder):
            return describe_store(folder, Index(engine), holder_of(folder))
    finally:
        engine.dispose()


def describe_store(folder: Path, index: Index, holder: Holder | None) -> StoreListing:
    """The listing of an index that is open already."""
    contents = index.contents()
    matches = tuple(_describe_match(folder, match, name, contents) for match, name in index.matches())
    pack_bytes = sum(pack.size_bytes for pack in contents.packs)
    return StoreListing(folder, holder, matches, len(contents.packs), len(contents.blocks), pack_bytes)


def _describe_match(folder: Path, match: str, folder_name: str, contents: Contents) -> MatchListing:
    own = {pack.id: pack for pack in contents.packs if pack.match == match}
    keys = {key for user, key in contents.links if user == match}
    blocks = [block for block in contents.blocks if block.key in keys]
    return MatchListing(
        match,
        folder / MATCHES_FOLDER / folder_name,
        len(own),
        sum(pack.size_bytes for pack in own.values()),
        len(blocks),
        sum(block.pack_id not in own for block in blocks),
        sum(block.size_bytes for block in blocks),
        max((block.last_used_s for block in blocks), default=None),
    )
