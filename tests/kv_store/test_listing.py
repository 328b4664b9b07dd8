import os
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from kv_store import database
from kv_store.errors import IndexDamaged, NoStore, StoreUnusable
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


def test_where_no_store_is_the_error_says_what_is_there_and_what_to_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    for name in ("a", "b", "c", "d", "e"):
        (tmp_path / "other" / name).mkdir(parents=True)
    for name, found in [
        ("missing", rf"the folder {re.escape(str(tmp_path / 'missing'))} does not exist"),
        ("file", "it is a file"),
        ("empty", "the folder is empty"),
        ("other", "no index.sqlite, but a, b, c and 2 more"),
    ]:
        with pytest.raises(NoStore, match=rf"{found}\. Name the folder that `hotseat serve --store` was given"):
            list_store(tmp_path / name)


def test_a_store_close_by_is_named(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with opened(store) as filled:
        put_all(filled, "red", ["a"])
    (pack,) = pack_paths(store)
    with pytest.raises(NoStore) as missed:
        list_store(tmp_path / "recordings")
    assert missed.value.near is None
    for wrong in (tmp_path, tmp_path / "stor", store / "matches", pack.parent, pack):
        with pytest.raises(NoStore) as missed:
            list_store(wrong)
        assert missed.value.near == store and f"Did you mean {store}?" in str(missed.value)


def test_packs_without_their_index_are_a_store_to_repair(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        put_all(store, "red", ["a"])
    for file in tmp_path.glob("index.sqlite*"):
        file.unlink()
    with pytest.raises(IndexDamaged, match=rf"is missing.*`hotseat store check --repair {re.escape(str(tmp_path))}`"):
        list_store(tmp_path)
