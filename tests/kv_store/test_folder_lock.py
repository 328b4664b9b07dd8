import os
from pathlib import Path

import pytest

from kv_store.errors import Holder, StoreLocked, StoreUnusable
from kv_store.folder_lock import HOLDER_FILE, LOCK_FILE, FolderLock, holder_of


def test_a_folder_can_be_locked_once_and_the_second_is_told_by_whom(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    with pytest.raises(StoreLocked, match=f"process {os.getpid()} on .*Stop that process") as caught:
        FolderLock(tmp_path)
    assert caught.value.holder is not None and caught.value.holder.pid == os.getpid()
    lock.release()
    FolderLock(tmp_path).release()


def test_looking_at_the_holder_does_not_disturb_it(tmp_path: Path) -> None:
    assert holder_of(tmp_path) is None
    lock = FolderLock(tmp_path)
    holder = holder_of(tmp_path)
    assert holder is not None and holder.pid == os.getpid()
    with pytest.raises(StoreLocked):
        FolderLock(tmp_path)
    lock.release()
    assert holder_of(tmp_path) is None


def test_what_a_dead_holder_left_behind_does_not_count(tmp_path: Path) -> None:
    (tmp_path / HOLDER_FILE).write_text('{"pid": 1, "host": "elsewhere", "since_s": 0}')
    assert holder_of(tmp_path) is None
    FolderLock(tmp_path).release()
    assert not (tmp_path / HOLDER_FILE).exists()


def test_a_holder_that_did_not_introduce_itself_holds_all_the_same(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    (tmp_path / HOLDER_FILE).write_text("not JSON")
    assert holder_of(tmp_path) == Holder(0, "", 0)
    with pytest.raises(StoreLocked, match="another process"):
        FolderLock(tmp_path)
    lock.release()
    lock.release()


def test_a_folder_that_cannot_be_locked_is_unusable(tmp_path: Path) -> None:
    with pytest.raises(StoreUnusable, match="name another folder"):
        FolderLock(tmp_path / "missing")
    (tmp_path / LOCK_FILE).write_text("this is not a database, and long enough for SQLite to see it" * 20)
    with pytest.raises(StoreUnusable, match="delete it"):
        FolderLock(tmp_path)
