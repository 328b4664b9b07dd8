import errno
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kv_store import archive, scribe
from kv_store import store as store_module
from kv_store.store import Store
from tests.kv_store.worlds import QUICK, flip_byte, opened, pack_paths, put_all, same, tensors_of, wrong_books

KB = 1_000


def size_on_disk(folder: Path) -> int:
    return sum(path.stat().st_size for path in pack_paths(folder))


def keys_of(store: Store, keys: list[str]) -> list[str]:
    """The keys that can be read, each verified against its content."""
    found = store.get_many(keys)
    assert all(same(found[key], tensors_of(key, 10 * KB)) for key in found)
    assert store.contains(keys) == set(found)
    return sorted(found)


def put_each(store: Store, match: str, keys: list[str]) -> None:
    """A pack for every block."""
    for key in keys:
        put_all(store, match, [key], 10 * KB)


def settled(store: Store) -> Store:
    """Wait until the writer has nothing left to do: it tidies behind what it did first, before it does the second."""
    for _ in range(2):
        store.forget_match("nobody")
        store.flush(10)
    assert wrong_books(store) == []
    return store


def test_the_least_recently_used_blocks_go_when_the_budget_is_exceeded(tmp_path: Path) -> None:
    with opened(tmp_path, budget_bytes=55 * KB) as store:
        put_each(store, "red", ["a", "b", "c", "d"])
        store.get_many(["a"])
        store.link("red", ["b"])
        put_each(store, "red", ["e"])
        put_each(store, "red", ["f"])
        settled(store)
        assert keys_of(store, list("abcdef")) == ["a", "b", "e", "f"]
        assert store.stats().evicted_blocks == 2
        assert store.stats().pack_bytes == size_on_disk(tmp_path) <= 55 * KB


def test_eviction_rewrites_a_pack_of_which_a_part_is_still_used(tmp_path: Path) -> None:
    with opened(tmp_path, budget_bytes=65 * KB) as store:
        put_all(store, "red", ["a", "b", "c", "d"], 10 * KB)
        before = pack_paths(tmp_path)
        store.get_many(["a"])
        put_all(store, "red", ["e", "f", "g"], 10 * KB)
        settled(store)
        assert "a" in keys_of(store, list("abcdefg"))
        assert not set(before) & set(pack_paths(tmp_path))
        assert size_on_disk(tmp_path) <= 65 * KB


def test_a_budget_that_was_lowered_holds_from_the_opening_on(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        put_each(store, "red", ["a", "b", "c"])
    with opened(tmp_path, budget_bytes=25 * KB) as store:
        settled(store)
        assert keys_of(store, ["a", "b", "c"]) == ["b", "c"]
    with opened(tmp_path, budget_bytes=0) as store:
        settled(store)
        assert keys_of(store, ["a", "b", "c"]) == [] and size_on_disk(tmp_path) == 0


def test_last_uses_outlive_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 1_000_000.0
    for module in (store_module, scribe):
        monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: now_s))
    with opened(tmp_path) as store:
        put_each(store, "red", ["a", "b", "c"])
        now_s += 3_600
        store.get_many(["a"])
    with opened(tmp_path, budget_bytes=25 * KB) as store:
        settled(store)
        assert keys_of(store, ["a", "b", "c"]) == ["a", "c"]


def test_blocks_of_another_fingerprint_count_and_are_evicted_too(tmp_path: Path) -> None:
    with opened(tmp_path, fingerprint="old model") as store:
        put_each(store, "red", ["a", "b"])
    with opened(tmp_path, budget_bytes=25 * KB) as store:
        assert store.stats().pack_bytes > 20 * KB
        put_each(store, "red", ["c"])
        settled(store)
        assert keys_of(store, ["a", "b", "c"]) == ["c"]
    with opened(tmp_path, fingerprint="old model") as store:
        assert keys_of(store, ["a", "b", "c"]) == ["b"]


def test_documents_are_never_evicted(tmp_path: Path) -> None:
    with opened(tmp_path, budget_bytes=0) as store:
        store.put_document("session", "a", "kept")
        put_all(store, "red", ["a"])
        settled(store)
        assert store.get_document("session", "a") is not None and store.durable(["a"]) == set()


def test_when_the_disk_refuses_rewriting_eviction_takes_whole_packs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with opened(tmp_path) as store:
        put_all(store, "red", ["a", "b", "c", "d"], 10 * KB)
        put_all(store, "red", ["e"], 10 * KB)
    monkeypatch.setattr(archive, "write_pack", refuse)
    with opened(tmp_path, budget_bytes=45 * KB) as store:
        settled(store)
        assert keys_of(store, list("abcde")) == ["e"]
        assert store.stats().pack_bytes == size_on_disk(tmp_path) < 45 * KB
        assert store.check().clean


def test_many_small_packs_become_one(tmp_path: Path) -> None:
    keys = [f"key{number}" for number in range(40)]
    with opened(tmp_path) as store:
        for key in keys:
            put_all(store, "red", [key])
        settled(store)
        assert store.stats().packs <= 33
    with opened(tmp_path) as store:
        settled(store)
        found = store.get_many(keys)
        assert all(same(found[key], tensors_of(key)) for key in keys)
        assert len(pack_paths(tmp_path)) <= 33 and store.check().clean


def test_a_large_pack_of_which_most_is_dead_is_rewritten(tmp_path: Path) -> None:
    keys = [f"key{number}" for number in range(10)]
    with opened(tmp_path, limits=replace(QUICK, pack_bytes=100 * KB)) as store:
        put_all(store, "red", keys, 10 * KB)
        store.link("blue", keys[:2])
        store.forget_match("red")
        settled(store)
        assert keys_of(store, keys) == keys[:2]
        assert size_on_disk(tmp_path) < 25 * KB


def test_merging_and_forgetting_never_hold_more_than_about_a_pack_in_memory(tmp_path: Path) -> None:
    keys = [f"key{number}" for number in range(12)]
    with opened(tmp_path, limits=replace(QUICK, pack_bytes=30 * KB)) as store:
        put_each(store, "red", keys)
        store.link("blue", keys)
        store.forget_match("red")
        settled(store)
        assert keys_of(store, keys) == sorted(keys)
        assert max(path.stat().st_size for path in pack_paths(tmp_path)) < 32 * KB
        assert {listed.match for listed in store.listing().matches} == {"blue"}


def test_forgetting_a_match_removes_its_folder_and_moves_what_others_use(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        put_all(store, "red", ["a", "b"], 10 * KB)
        put_all(store, "blue", ["c"], 10 * KB)
        store.link("blue", ["a"])
        store.forget_match("red")
        assert store.contains(["a", "b", "c"]) == {"a", "c"}
        settled(store)
        assert {path.parent.name.split("-")[0] for path in pack_paths(tmp_path)} == {"blue"}
        assert [path.name.split("-")[0] for path in (tmp_path / "matches").iterdir()] == ["blue"]
        assert keys_of(store, ["a", "b", "c"]) == ["a", "c"]
    with opened(tmp_path) as store:
        assert keys_of(store, ["a", "b", "c"]) == ["a", "c"]
        store.forget_match("blue")
        settled(store)
        assert pack_paths(tmp_path) == [] and list((tmp_path / "matches").iterdir()) == []


def test_a_bad_block_that_is_to_be_moved_is_dropped_and_the_others_move(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        put_all(store, "red", ["a", "b"], 10 * KB)
        flip_byte(pack_paths(tmp_path)[0], -1)
        store.link("blue", ["a", "b"])
        store.forget_match("red")
        settled(store)
        assert len(keys_of(store, ["a", "b"])) == 1
        assert store.stats().faults == {"checksum": 1}
        assert store.check().clean


def test_a_pack_whose_blocks_all_turned_out_bad_is_deleted(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        put_all(store, "red", ["a"], 10 * KB)
        (path,) = pack_paths(tmp_path)
        flip_byte(path, -1)
        assert keys_of(store, ["a"]) == []
        put_all(store, "red", ["a"], 10 * KB)
        settled(store)
        assert keys_of(store, ["a"]) == ["a"]
        assert len(pack_paths(tmp_path)) == 1 and not path.exists()


@settings(max_examples=8, deadline=None)
@given(
    budget=st.integers(0, 80),
    steps=st.lists(st.tuples(st.sampled_from(["put", "use"]), st.integers(0, 11)), min_size=5, max_size=25),
)
def test_the_files_never_exceed_the_budget_and_the_most_recent_blocks_stay(
    tmp_path_factory: pytest.TempPathFactory, budget: int, steps: list[tuple[str, int]]
) -> None:
    folder = tmp_path_factory.mktemp("store")
    with opened(folder, budget_bytes=budget * KB) as store:
        recent: list[str] = []
        for what, number in steps:
            key = f"key{number}"
            if what == "put":
                put_all(store, "red", [key], 10 * KB)
            exists = bool(store.get_many([key]))
            if exists:
                recent = [other for other in recent if other != key] + [key]
            assert wrong_books(store) == []
            with store._disk:
                assert size_on_disk(folder) == store.stats().pack_bytes <= budget * KB
        kept = keys_of(store, recent)
        assert kept == sorted(recent[len(recent) - len(kept) :])
