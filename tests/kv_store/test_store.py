"""The store as others use it: blocks and documents put, linked, read, forgotten, found again."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from kv_store import archive
from kv_store.errors import BadBlock, BadDocument, BadMatch, IndexDamaged, StoreLocked, StoreUnusable
from kv_store.limits import StoreLimits
from kv_store.reports import FlushCount
from kv_store.store import Store
from tests.kv_store.reading import reads
from tests.kv_store.worlds import QUICK, opened, pack_paths, put_all, same, tensors_of, wrong_books

# What is put


def test_a_block_is_there_at_once_durable_after_a_flush_and_still_there_after_reopening(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.put("red", "a", tensors_of("a"), "map/gate")
        assert store.contains(["a", "b"]) == {"a"} and store.durable(["a"]) == set()
        assert reads(store, "a", "b") == ["a"]
        assert store.flush(10) == FlushCount(1, 64)
        assert store.durable(["a"]) == {"a"} and reads(store, "a") == ["a"]
        assert store.flush(10) == FlushCount(0, 0)
    with opened(tmp_path) as store:
        assert store.contains(["a", "b"]) == store.durable(["a", "b"]) == {"a"}
        assert reads(store, "a") == ["a"]


def test_three_hundred_small_blocks_become_one_pack(tmp_path: Path) -> None:
    keys = [f"key{number}" for number in range(300)]
    with opened(tmp_path) as store:
        put_all(store, "red", keys)
        assert len(pack_paths(tmp_path)) == 1
        assert store.durable(keys) == set(keys) and len(reads(store, *keys)) == 300


def test_what_is_more_than_a_pack_becomes_several(tmp_path: Path) -> None:
    with opened(tmp_path, limits=replace(QUICK, pack_bytes=1_000)) as store:
        put_all(store, "red", ["a", "b", "c"], 600)
        assert store.durable(["a", "b", "c"]) == {"a", "b", "c"}
        assert len(pack_paths(tmp_path)) == 3


def test_a_key_names_its_content_so_putting_it_again_only_links_it(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        put_all(store, "red", ["a"])
        store.put("blue", "a", tensors_of("a"))
        assert store.flush(10).blocks == 0
        store.forget_match("red")
        assert reads(store, "a") == ["a"]
        assert len(pack_paths(tmp_path)) == 1


def test_a_linked_block_outlives_the_match_that_put_it_also_after_reopening(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        put_all(store, "red", ["a", "b"])
        store.link("blue", ["a"])
    with opened(tmp_path) as store:
        store.forget_match("red")
        assert store.contains(["a", "b"]) == {"a"}
        store.flush(10)
    with opened(tmp_path) as store:
        assert reads(store, "a", "b") == ["a"]
        store.forget_match("blue")
    with opened(tmp_path) as store:
        assert reads(store, "a", "b") == []


def test_a_forgotten_match_can_be_played_anew(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.put("red", "a", tensors_of("a"))
        store.forget_match("red")
        store.put("red", "a", tensors_of("a"))
        store.put("red", "b", tensors_of("b"))
        store.flush(10)
        assert store.durable(["a", "b"]) == {"a", "b"}
    with opened(tmp_path) as store:
        assert reads(store, "a", "b") == ["a", "b"]


def test_a_match_taken_up_again_before_it_is_forgotten_on_disk_keeps_what_it_uses_now(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        put_all(store, "red", ["a", "b"])
        store.link("blue", ["a"])
        with store._disk:  # the writer comes behind all of this
            store.forget_match("red")
            store.put("red", "a", tensors_of("a"))
            store.forget_match("blue")
        store.flush(10)
        assert store.durable(["a", "b"]) == {"a"} and reads(store, "a", "b") == ["a"]
        assert wrong_books(store) == [] and store.check().clean
    with opened(tmp_path) as store:
        assert reads(store, "a", "b") == ["a"]
        assert [listed.match for listed in store.listing().matches] == ["red"]
        store.forget_match("red")
        store.flush(10)
        assert pack_paths(tmp_path) == [] and list((tmp_path / "matches").iterdir()) == []


@pytest.mark.parametrize("match", ["", "..", "a/b\\c:d", "CON", "😀" * 100, "x" * 5_000, "'; DROP TABLE blocks; --"])
def test_a_match_id_may_be_any_text(tmp_path: Path, match: str) -> None:
    with opened(tmp_path / "store") as store:
        put_all(store, match, ["a"])
        assert [listed.match for listed in store.listing().matches] == [match]
    with opened(tmp_path / "store") as store:
        assert reads(store, "a") == ["a"]
        store.forget_match(match)
        store.flush(10)
        assert pack_paths(tmp_path / "store") == []
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_what_no_disk_could_ever_take_is_refused_at_once(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        with pytest.raises(BadBlock):
            store.put("red", "a.b", tensors_of("a"))
        with pytest.raises(BadBlock):
            store.put("red", "a", {"k": torch.zeros(2, dtype=torch.complex64)})
        with pytest.raises(BadMatch, match="valid Unicode"):
            store.put("\ud800", "a", tensors_of("a"))
        with pytest.raises(BadDocument):
            store.put_document("session", "\0", {})
        store.put("red", "a", tensors_of("a"), "note with \ud800 and \0")
        assert store.flush(10).blocks == 1


def test_tensors_that_need_gradients_or_share_memory_can_be_put(tmp_path: Path) -> None:
    whole = torch.randn(4, 6, requires_grad=True)
    with opened(tmp_path) as store:
        store.put("red", "a", {"k": whole[1:3], "v": whole[:, ::2]})
        store.flush(10)
        found = store.get_many(["a"])["a"]
        assert torch.equal(found["k"], whole[1:3]) and torch.equal(found["v"], whole[:, ::2])


# What is read


def test_reading_and_asking_write_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        put_all(store, "red", ["a"])
    with opened(tmp_path) as store:
        transactions: list[str] = []
        store._archive.index.transaction = lambda: transactions.append("one")  # type: ignore[assignment,method-assign,return-value]
        for _ in range(3):
            store.get_many(["a", "b"])
            store.contains(["a"])
            store.durable(["a"])
            store.link("red", ["a"])
        store.flush(10)
        assert transactions == []


def test_each_pack_is_opened_once_for_all_its_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path) as store:
        put_all(store, "red", ["a", "b", "c"])
        put_all(store, "blue", ["d", "e"])
        openings: list[Path] = []
        reader = archive.PackReader

        def counted(path: Path) -> archive.PackReader:
            openings.append(path)
            return reader(path)

        monkeypatch.setattr(archive, "PackReader", counted)
        assert len(store.get_many(["a", "d", "b", "e", "c", "a"])) == 5
        assert len(openings) == 2


def test_a_block_that_moves_while_it_is_read_is_read_where_it_went(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path) as store:
        put_all(store, "red", ["a", "b"])
        store.link("blue", ["a"])
        read = store._archive.read

        def read_late(*arguments: object) -> object:
            monkeypatch.undo()
            store.forget_match("red")  # moves a to blue's folder, and b away
            store.flush(10)
            return read(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(store._archive, "read", read_late)
        assert reads(store, "a", "b") == ["a"]
        assert store.stats().faults == {}


def test_many_threads_may_use_a_store_at_once(tmp_path: Path) -> None:
    wrong: list[str] = []
    keys = [f"key{number}" for number in range(60)]

    def play(store: Store, match: str, keys: list[str]) -> None:
        for number, key in enumerate(keys):
            store.put(match, key, tensors_of(key))
            if number % 20 == 19:
                store.flush(10)
            found = store.get_many(keys[: number + 1])
            wrong.extend(one for one in found if not same(found[one], tensors_of(one)))
            if len(found) != number + 1:
                wrong.append(f"{match} misses some of {keys[: number + 1]}")

    with opened(tmp_path, limits=replace(QUICK, linger_s=0.0, pack_bytes=2_000)) as store:
        threads = [
            threading.Thread(target=play, args=(store, match, keys if match != "blue" else keys[::-1]))
            for match in ("red", "blue", "green")
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert wrong == []
        assert store.flush(10).dropped == 0
        assert wrong_books(store) == [] and store.check().clean


# Who may open it


def test_a_second_store_on_the_same_folder_is_told_who_holds_it(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(StoreLocked, match="in use by process"):
        Store(tmp_path, fingerprint="fp")
    with opened(tmp_path):
        pass


def test_a_folder_that_cannot_be_used_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreUnusable, match="name another folder"):
        Store(tmp_path / "file", fingerprint="fp")
    with pytest.raises(StoreUnusable):
        Store(tmp_path / "file" / "below", fingerprint="fp")


def test_a_damaged_index_is_a_typed_error_and_gives_the_folder_back(tmp_path: Path) -> None:
    (tmp_path / "index.sqlite").write_text("this is not a database" * 100)
    for _ in range(2):
        with pytest.raises(IndexDamaged, match="hotseat store check --repair"):
            Store(tmp_path, fingerprint="fp")


def test_the_usual_limits_hold_what_a_game_needs() -> None:
    limits = StoreLimits()
    assert limits.pack_bytes == 64 * 2**20 and limits.queue_bytes >= 2**30 and limits.linger_s <= 0.1


# Documents


def test_documents_are_part_of_a_flush_and_the_latest_wins(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        for turn in range(3):
            store.put_document("session", "guard", {"turn": turn})
        store.put_document("match", "red", {})
        store.flush(10)
        store.put_document("session", "gone", 1)
        store.delete_document("session", "gone")
        found = store.get_document("session", "guard")
        assert found is not None and (found.body, found.version) == ({"turn": 2}, 3)
    with opened(tmp_path) as store:
        assert [(one.id, one.body, one.version) for one in store.list_documents("session")] == [
            ("guard", {"turn": 2}, 3)
        ]
        assert store.get_document("session", "gone") is None
        store.delete_document("session", "guard")
        assert store.list_documents("session") == []


def test_a_document_that_is_not_json_is_counted_and_keeps_nothing_from_the_disk(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(tmp_path) as store:
        store.put_document("session", "bad", object())
        store.put("red", "a", tensors_of("a"))
        assert store.flush(10).blocks == 1
        assert store.stats().refused_documents == 1
        assert "'bad' cannot be stored: its body is not JSON" in caplog.text
