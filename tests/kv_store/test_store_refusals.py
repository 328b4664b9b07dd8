"""A disk that takes nothing, a queue that is full, a store that closes: what is kept, and what is said."""

import errno
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from kv_store import durable_files
from kv_store.errors import StoreClosed, StoreWriteError
from kv_store.reports import FlushCount, Leftover
from kv_store.store import Store
from tests.kv_store.reading import reads
from tests.kv_store.worlds import QUICK, opened, pack_paths, put_all, tensors_of


class Disk:
    """A disk that can be full."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = False
        self.refusals = threading.Semaphore(0)
        replaced = durable_files.os.replace

        def replace_unless_full(*arguments: Path) -> None:
            if self.full:
                self.refusals.release()
                raise OSError(errno.ENOSPC, "No space left on device")
            replaced(*arguments)

        monkeypatch.setattr(durable_files.os, "replace", replace_unless_full)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def test_a_full_disk_keeps_everything_queued_and_says_so(tmp_path: Path, disk: Disk) -> None:
    with opened(tmp_path) as store:
        disk.full = True
        store.put("red", "a", tensors_of("a"))
        store.put_document("session", "s", {"turn": 1})
        with pytest.raises(StoreWriteError, match="No space left.*1 blocks .64 bytes. and 1 documents.*Free space"):
            store.flush(10)
        assert reads(store, "a") == ["a"] and store.durable(["a"]) == set()
        assert "No space left" in str(store.stats().write_failure)
        assert disk.refusals.acquire(timeout=10) and disk.refusals.acquire(timeout=10)  # retried by itself
        disk.full = False
        assert store.flush(10) == FlushCount(1, 64)
        assert store.durable(["a"]) == {"a"} and store.stats().write_failure is None
    with opened(tmp_path) as store:
        assert reads(store, "a") == ["a"]


def test_a_database_that_refuses_keeps_everything_queued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path) as store:

        def refuse() -> None:
            raise OperationalError("INSERT", {}, Exception("attempt to write a readonly database"))

        monkeypatch.setattr(store._archive.index, "transaction", refuse)
        store.put("red", "a", tensors_of("a"))
        with pytest.raises(StoreWriteError, match="Exception: attempt to write a readonly database[.] 1 blocks"):
            store.flush(10)
        monkeypatch.undo()
        assert store.flush(10).blocks == 1
        assert len(pack_paths(tmp_path)) == 1


def test_a_file_where_a_match_s_folder_should_be_is_a_refusal_too(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        (tmp_path / "matches").write_text("in the way")
        store.put("red", "a", tensors_of("a"))
        with pytest.raises(StoreWriteError):
            store.flush(10)
        (tmp_path / "matches").unlink()
        assert store.flush(10).blocks == 1


def test_beyond_the_queue_blocks_are_dropped_counted_and_can_be_put_again(tmp_path: Path, disk: Disk) -> None:
    with opened(tmp_path, limits=replace(QUICK, queue_bytes=150)) as store:
        disk.full = True
        for key in ("a", "b", "c"):
            store.put("red", key, tensors_of(key))
        assert store.contains(["a", "b", "c"]) == {"a", "b"}
        with pytest.raises(StoreWriteError):
            store.flush(10)
        disk.full = False
        assert store.flush(10) == FlushCount(2, 128, dropped=1)
        assert store.stats().dropped_blocks == 1
        put_all(store, "red", ["c"])
        assert store.flush(10) == FlushCount(0, 0) and reads(store, "a", "b", "c") == ["a", "b", "c"]


def test_a_flush_that_is_given_no_time_says_that_time_ran_out(tmp_path: Path) -> None:
    with opened(tmp_path) as store, store._disk:
        store.put("red", "a", tensors_of("a"))
        with pytest.raises(StoreWriteError, match="0.01 s were not enough.*allow more time"):
            store.flush(0.01)


def test_closing_drains_the_queue(tmp_path: Path) -> None:
    store = Store(tmp_path, fingerprint="fp")
    store.put("red", "a", tensors_of("a"))
    store.put_document("session", "s", 1)
    assert store.close(10) == Leftover(0, 0, 0)
    assert store.close(10) == Leftover(0, 0, 0)
    with opened(tmp_path, fingerprint="fp") as store:
        assert reads(store, "a") == ["a"]


def test_closing_says_what_was_lost(tmp_path: Path, disk: Disk) -> None:
    store = Store(tmp_path, fingerprint="fp", limits=QUICK)
    disk.full = True
    store.put("red", "a", tensors_of("a"))
    store.put_document("session", "s", 1)
    assert store.close(0.05) == Leftover(1, 64, 1)
    disk.full = False
    with opened(tmp_path, fingerprint="fp") as store:
        assert reads(store, "a") == [] and store.check().clean


def test_a_closed_store_refuses_everything(tmp_path: Path) -> None:
    with Store(tmp_path, fingerprint="fp") as store:
        pass
    for use in (
        lambda: store.put("red", "a", {}),
        lambda: store.get_many(["a"]),
        lambda: store.flush(1),
        lambda: store.get_document("session", "s"),
        lambda: store.check(),
    ):
        with pytest.raises(StoreClosed, match="Open it again"):
            use()
