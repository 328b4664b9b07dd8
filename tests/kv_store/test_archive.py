from pathlib import Path

from kv_store.archive import Archive, Recovery
from kv_store.records import Pack
from tests.kv_store.worlds import block, flip_byte, opened_archive, pack_paths, same, tensors_of


def add(archive: Archive, match: str, *keys: str) -> Pack:
    new = archive.write(match, "fp", [block(key) for key in keys])
    with archive.index.transaction() as transaction:
        pack = transaction.add_pack(new, 5)
        transaction.link(match, keys)
    return pack


def read(archive: Archive, pack: Pack, *keys: str) -> dict[str, bool]:
    checksums = {found.key: found.checksum for found in archive.index.contents().blocks}
    good, _ = archive.read(pack, {key: checksums[key] for key in keys})
    return {key: same(tensors, tensors_of(key)) for key, tensors in good.items()}


def test_packs_lie_in_their_match_s_folder_whatever_its_id(tmp_path: Path) -> None:
    with opened_archive(tmp_path) as archive:
        first, second = add(archive, "../../etc", "a"), add(archive, "Ünit 7", "b")
        assert read(archive, first, "a") == {"a": True} and read(archive, second, "b") == {"b": True}
    assert sorted(path.parent.name for path in pack_paths(tmp_path)) == [
        "etc-58656856ff19798a",
        "nit-7-7f13b1fa40854147",
    ]


def test_after_an_orderly_end_there_is_nothing_to_recover(tmp_path: Path) -> None:
    with opened_archive(tmp_path) as archive:
        add(archive, "red", "a")
        before = archive.index.contents()
        assert archive.recover() == Recovery()
        assert archive.index.contents() == before


def test_a_pack_that_was_renamed_and_never_indexed_is_adopted(tmp_path: Path) -> None:
    with opened_archive(tmp_path) as archive:
        archive.write("red", "fp", [block("a"), block("b")])
        assert archive.recover() == Recovery(adopted_packs=1)
        (pack,) = archive.index.contents().packs
        assert (pack.match, pack.fingerprint, pack.num_blocks) == ("red", "fp", 2)
        assert read(archive, pack, "a", "b") == {"a": True, "b": True}
        assert set(archive.index.contents().links) == {("red", "a"), ("red", "b")}


def test_the_index_is_rebuilt_from_the_packs_alone(tmp_path: Path) -> None:
    with opened_archive(tmp_path) as archive:
        for match in ("red", "blue"):
            for name in ("a", "b"):
                add(archive, match, f"{match}-{name}")
        before = archive.index.contents()
    for file in tmp_path.glob("index.sqlite*"):
        file.unlink()
    with opened_archive(tmp_path) as archive:
        assert archive.recover() == Recovery(adopted_packs=4)
        after = archive.index.contents()
    assert {block.key: block.checksum for block in after.blocks} == {
        block.key: block.checksum for block in before.blocks
    }
    assert set(after.links) == set(before.links)
    assert {pack.file for pack in after.packs} == {pack.file for pack in before.packs}


def test_an_unknown_pack_that_brings_nothing_new_is_deleted(tmp_path: Path) -> None:
    with opened_archive(tmp_path) as archive:
        known = add(archive, "red", "a")
        archive.write("red", "fp", [block("a")])
        assert archive.recover() == Recovery()
        assert pack_paths(tmp_path) == [archive.path(known)]


def test_an_adopted_pack_indexes_only_what_is_not_known_elsewhere(tmp_path: Path) -> None:
    with opened_archive(tmp_path) as archive:
        known = add(archive, "red", "a")
        archive.write("red", "fp", [block("a"), block("b")])
        archive.recover()
        places = {block.key: block.pack_id for block in archive.index.contents().blocks}
        assert places["a"] == known.id != places["b"]


def test_a_pack_whose_rows_are_gone_is_deleted_and_not_adopted(tmp_path: Path) -> None:
    with opened_archive(tmp_path) as archive:
        pack = add(archive, "red", "a")
        with archive.index.transaction() as transaction:  # and here the process dies
            transaction.remove_packs([pack])
        assert archive.recover() == Recovery()
        assert pack_paths(tmp_path) == [] and archive.index.contents().packs == ()
        assert archive.index.removals() == [] and archive.index.matches() == []
        assert list((tmp_path / "matches").iterdir()) == []


def test_rows_whose_pack_is_gone_are_forgotten(tmp_path: Path) -> None:
    with opened_archive(tmp_path) as archive:
        archive.path(add(archive, "red", "a")).unlink()
        add(archive, "red", "b")
        assert archive.recover() == Recovery(lost_packs=1)
        assert [block.key for block in archive.index.contents().blocks] == ["b"]


def test_temporary_files_are_deleted_and_other_people_s_files_are_not(tmp_path: Path) -> None:
    with opened_archive(tmp_path) as archive:
        folder = archive.path(add(archive, "red", "a")).parent
        (folder / "pack-1.safetensors.tmp").write_text("half")
        (folder / ".tmpXyZ123").write_text("half")
        (folder / "notes.txt").write_text("mine")
        assert archive.recover() == Recovery(temporary_files=2)
        assert (folder / "notes.txt").exists()


def test_an_unknown_file_that_is_no_pack_is_counted_and_left(tmp_path: Path) -> None:
    with opened_archive(tmp_path) as archive:
        folder = archive.path(add(archive, "red", "a")).parent
        (folder / "pack-0.safetensors").write_text("nonsense")
        assert archive.recover() == Recovery(unreadable_files=1)
        assert (folder / "pack-0.safetensors").exists()


def test_reading_says_what_is_wrong_with_each_block(tmp_path: Path) -> None:
    with opened_archive(tmp_path) as archive:
        pack = add(archive, "red", "a", "b")
        flip_byte(archive.path(pack), -1)
        checksums = {found.key: found.checksum for found in archive.index.contents().blocks}
        good, bad = archive.read(pack, checksums)
        assert len(good) == len(bad) == 1
        archive.path(pack).unlink()
        good, bad = archive.read(pack, checksums)
        assert good == {} and set(bad.values()) == {"missing"}
