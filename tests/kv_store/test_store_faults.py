"""Packs that are damaged or another model's: a block is absent, counted, and can be put anew."""

from collections.abc import Callable
from pathlib import Path

import pytest

from kv_store.errors import Fault
from tests.kv_store.reading import reads
from tests.kv_store.worlds import flip_byte, only_pack, opened, put_all


def damage(kind: str) -> Callable[[Path], object]:
    return {
        "flipped byte": lambda path: flip_byte(path, -1),
        "truncated": lambda path: path.write_bytes(path.read_bytes()[:-1]),
        "empty": lambda path: path.write_bytes(b""),
        "missing": lambda path: path.unlink(),
        "not a pack": lambda path: path.write_bytes(b"{}" * 100),
        "a folder": lambda path: (path.unlink(), path.mkdir()),
    }[kind]


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("flipped byte", Fault.CHECKSUM),
        ("truncated", Fault.TRUNCATED),
        ("empty", Fault.TRUNCATED),
        ("missing", Fault.MISSING),
        ("not a pack", Fault.TRUNCATED),
        ("a folder", Fault.UNREADABLE),
    ],
)
def test_a_bad_block_is_absent_counted_forgotten_and_can_be_put_anew(tmp_path: Path, kind: str, fault: Fault) -> None:
    with opened(tmp_path) as store:
        put_all(store, "red", ["a"])
        store.link("blue", ["a"])
        store.flush(10)
        damage(kind)(only_pack(tmp_path))
        assert reads(store, "a") == []
        assert store.contains(["a"]) == store.durable(["a"]) == set()
        assert store.stats().faults == {fault: 1}
        put_all(store, "red", ["a"])
        assert reads(store, "a") == ["a"]
        store.forget_match("red")
        assert reads(store, "a") == ["a"]  # blue's link holds again
        assert store.stats().faults == {fault: 1}
    with opened(tmp_path) as store:
        assert reads(store, "a") == ["a"]


def test_a_truncated_pack_still_yields_what_it_holds(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        put_all(store, "red", ["a", "b"])
        content = only_pack(tmp_path).read_bytes()
        only_pack(tmp_path).write_bytes(content[:-1])
        assert len(reads(store, "a", "b")) == 1
        assert store.stats().faults == {Fault.TRUNCATED: 1}


def test_a_store_of_another_model_is_kept_and_never_answers(tmp_path: Path) -> None:
    with opened(tmp_path, fingerprint="model one") as store:
        put_all(store, "red", ["a", "b"])
    with opened(tmp_path, fingerprint="model two") as store:
        assert store.contains(["a"]) == store.durable(["a"]) == set()
        assert reads(store, "a") == [] and store.stats().faults == {Fault.FOREIGN: 1}
        put_all(store, "red", ["a"])
        assert reads(store, "a", "b") == ["a"]
    with opened(tmp_path, fingerprint="model one") as store:
        assert reads(store, "a", "b") == ["b"]


def test_a_pack_swapped_for_one_of_another_model_is_foreign(tmp_path: Path) -> None:
    for name in ("one", "two"):
        with opened(tmp_path / name, fingerprint=name) as store:
            put_all(store, "red", ["a"])
    only_pack(tmp_path / "one").write_bytes(only_pack(tmp_path / "two").read_bytes())
    with opened(tmp_path / "one", fingerprint="one") as store:
        assert reads(store, "a") == [] and store.stats().faults == {Fault.FOREIGN: 1}
