import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from kv_store import database
from kv_store.errors import StoreUnusable
from kv_store.listing import list_store
from tests.kv_store.worlds import opened, pack_paths, put_all


def test_a_listing_says_what_each_match_has_and_uses(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        put_all(store, "red/1", ["a", "b"], 100)
        put_all(store, "blue", ["c"], 50)
        store.link("blue", ["a"])
        store.flush(10)
        listing = store.listing()
    blue, red = listing.matches
    assert (blue.match, blue.packs, blue.blocks, blue.shared_blocks, blue.size_bytes) == ("blue", 1, 2, 1, 150)
    assert (red.match, red.packs, red.blocks, red.shared_blocks, red.size_bytes) == ("red/1", 1, 2, 0, 200)
    assert red.last_used_s is not None and red.folder.is_dir()
    assert listing.pack_bytes == sum(path.stat().st_size for path in pack_paths(tmp_path))
    assert listing.pack_bytes == red.pack_bytes + blue.pack_bytes
    assert (listing.packs, listing.blocks) == (2, 3)


def test_a_store_can_be_listed_while_it_is_used_and_the_listing_says_by_whom(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        put_all(store, "red", ["a"])
        listing = list_store(tmp_path)
        assert listing == store.listing()
        assert listing.holder is not None and listing.holder.pid == os.getpid()
        put_all(store, "red", ["b"])
        assert list_store(tmp_path).blocks == 2
    after = list_store(tmp_path)
    assert after.holder is None and after.blocks == 2


def test_listing_changes_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        put_all(store, "red", ["a"])
    before = {
        path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".sqlite-shm"
    }
    list_store(tmp_path)
    for path, content in before.items():
        assert path.read_bytes() == content


def test_a_store_on_a_read_only_disk_can_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path) as store:
        put_all(store, "red", ["a"])
    connect = sqlite3.connect

    def connect_read_only(database: Path | str, **options: Any) -> sqlite3.Connection:
        if "immutable" not in str(database):
            raise sqlite3.OperationalError("unable to open database file")
        return connect(database, **options)

    monkeypatch.setattr(database.sqlite3, "connect", connect_read_only)
    (tmp_path / "lock.sqlite").unlink()
    assert list_store(tmp_path).blocks == 1
    (tmp_path / "index.sqlite-wal").write_bytes(b"not all of the index is in its file")
    with pytest.raises(StoreUnusable):
        list_store(tmp_path)


def test_there_must_be_a_store(tmp_path: Path) -> None:
    with pytest.raises(StoreUnusable, match="no store here"):
        list_store(tmp_path)
