from pathlib import Path

import pytest

from kv_store.check import CheckReport, Problem, check_store
from kv_store.database import INDEX_FILE
from kv_store.errors import NoStore, StoreLocked
from tests.kv_store.worlds import (
    block,
    flip_byte,
    only_pack,
    opened,
    opened_archive,
    pack_paths,
    put_all,
    same,
    tensors_of,
    wrong_books,
)


def problems(report: CheckReport) -> list[Problem]:
    return [finding.problem for finding in report.findings]


def check_and_repair(folder: Path) -> CheckReport:
    """What a check finds; a repair finds the same, and behind it everything is clean."""
    found = check_store(folder)
    repaired = check_store(folder, repair=True)
    assert found.findings == repaired.findings and repaired.repaired and not found.repaired
    assert check_store(folder).clean
    return found


def filled(folder: Path, *keys: str) -> Path:
    with opened(folder) as store:
        put_all(store, "red", list(keys))
    return only_pack(folder)


def test_a_store_that_is_right_is_clean_and_counted(tmp_path: Path) -> None:
    pack = filled(tmp_path, "a", "b")
    report = check_store(tmp_path)
    assert report.clean and (report.packs, report.blocks, report.bytes) == (1, 2, pack.stat().st_size)
    assert "everything is as it should be" in str(report)


def test_a_flipped_byte_is_a_bad_block_and_repair_forgets_it(tmp_path: Path) -> None:
    flip_byte(filled(tmp_path, "a", "b"), -1)
    report = check_and_repair(tmp_path)
    assert problems(report) == [Problem.BAD_BLOCK]
    assert "checksum" in str(report) and "--repair" in str(report)
    with opened(tmp_path) as store:
        assert len(store.durable(["a", "b"])) == len(store.get_many(["a", "b"])) == 1


def test_a_missing_a_foreign_and_an_unreadable_pack_are_bad_packs(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        for key in ("a", "b", "c", "d"):
            put_all(store, key, [key])
    missing, foreign, unreadable, sound = pack_paths(tmp_path)
    missing.unlink()
    foreign.write_bytes(sound.read_bytes())
    unreadable.write_bytes(b"\xff" * 100)
    assert problems(check_and_repair(tmp_path)) == [Problem.BAD_PACK] * 3
    assert pack_paths(tmp_path) == [sound]


def test_an_unknown_pack_is_indexed_without_its_bad_blocks(tmp_path: Path) -> None:
    with opened_archive(tmp_path) as archive:
        archive.write("red", "fp", [block("a"), block("b")])
    flip_byte(only_pack(tmp_path), -1)
    assert problems(check_and_repair(tmp_path)) == [Problem.UNKNOWN_PACK]
    with opened(tmp_path, fingerprint="fp") as store:
        (key,) = store.durable(["a", "b"])
        assert same(store.get_many([key])[key], tensors_of(key))


def test_an_unknown_file_that_is_no_pack_is_deleted(tmp_path: Path) -> None:
    pack = filled(tmp_path, "a")
    (pack.parent / "pack-0.safetensors").write_text("nonsense")
    assert problems(check_and_repair(tmp_path)) == [Problem.UNKNOWN_PACK]
    assert pack_paths(tmp_path) == [pack]


def test_leftovers_of_a_crash_are_found(tmp_path: Path) -> None:
    pack = filled(tmp_path, "a")
    (pack.parent / "pack-0.safetensors.tmp").write_text("half")
    with opened_archive(tmp_path) as archive, archive.index.transaction() as transaction:
        transaction.remove_packs(archive.index.contents().packs)
    assert problems(check_and_repair(tmp_path)) == [Problem.UNREMOVED_FILE, Problem.TEMPORARY_FILE]
    assert not pack.exists()


def test_a_lost_index_is_rebuilt_by_repair(tmp_path: Path) -> None:
    filled(tmp_path, "a", "b")
    for file in tmp_path.glob(f"{INDEX_FILE}*"):
        file.unlink()
    assert problems(check_and_repair(tmp_path)) == [Problem.UNKNOWN_PACK]
    with opened(tmp_path) as store:
        assert store.durable(["a", "b"]) == {"a", "b"}


def test_a_damaged_index_is_set_aside_and_rebuilt(tmp_path: Path) -> None:
    filled(tmp_path, "a", "b")
    (tmp_path / INDEX_FILE).write_text("this is not a database" * 100)
    report = check_store(tmp_path)
    assert problems(report) == [Problem.DAMAGED_INDEX] and not report.repaired
    repaired = check_store(tmp_path, repair=True)
    assert problems(repaired) == [Problem.DAMAGED_INDEX, Problem.UNKNOWN_PACK] and repaired.repaired
    assert check_store(tmp_path).clean
    assert (tmp_path / f"{INDEX_FILE}.damaged-1").read_text().startswith("this is not")
    with opened(tmp_path) as store:
        assert store.durable(["a", "b"]) == {"a", "b"}


def test_a_store_in_use_cannot_be_checked_from_outside(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        with pytest.raises(StoreLocked):
            check_store(tmp_path)
        assert store.check().clean


def test_there_must_be_a_store_and_checking_makes_none(tmp_path: Path) -> None:
    with pytest.raises(NoStore, match="does not exist"):
        check_store(tmp_path / "missing")
    (tmp_path / "notes.txt").write_text("somebody's own")
    for repair in (False, True):
        with pytest.raises(NoStore, match="but notes.txt"):
            check_store(tmp_path, repair=repair)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_the_advice_to_repair_is_a_line_that_can_be_typed(tmp_path: Path) -> None:
    flip_byte(filled(tmp_path, "a"), -1)
    assert f"`hotseat store check --repair {tmp_path}`" in str(check_store(tmp_path))


def test_a_running_store_repairs_itself_and_takes_the_blocks_anew(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        put_all(store, "red", ["a", "b"])
        put_all(store, "blue", ["c"])
        (blue,) = (path for path in pack_paths(tmp_path) if "blue" in path.parent.name)
        (red,) = (path for path in pack_paths(tmp_path) if "red" in path.parent.name)
        flip_byte(red, -1)
        blue.unlink()
        store.put("red", "queued", tensors_of("queued"))
        assert len(store.check().findings) == 2
        assert store.check(repair=True).repaired
        assert store.check().clean
        assert wrong_books(store) == []
        assert len(store.contains(["a", "b", "c", "queued"])) == 2
        put_all(store, "red", ["a", "b", "c"])
        assert store.durable(["a", "b", "c", "queued"]) == {"a", "b", "c", "queued"}
        assert len(store.get_many(["a", "b", "c", "queued"])) == 4
