from collections.abc import Iterator
from pathlib import Path

import pytest

from kv_store.database import open_database
from kv_store.index import Index
from kv_store.pack import WrittenBlock
from kv_store.records import NewPack, Pack
from kv_store.transaction import chunks


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    engine = open_database(tmp_path, None)
    yield Index(engine)
    engine.dispose()


def new_pack(match: str, name: str, *keys: str) -> NewPack:
    blocks = tuple(WrittenBlock(key, f"sum of {key}", 10, f"note of {key}") for key in keys)
    return NewPack(match, f"matches/{match}/{name}", "fp", 100, blocks)


def add(index: Index, match: str, name: str, *keys: str, used_s: int = 5) -> Pack:
    with index.transaction() as transaction:
        pack = transaction.add_pack(new_pack(match, name, *keys), used_s)
        transaction.link(match, keys)
    return pack


def places(index: Index) -> dict[str, int]:
    return {block.key: block.pack_id for block in index.contents().blocks}


def test_a_pack_and_its_blocks_come_back_as_they_were(index: Index) -> None:
    pack = add(index, "red", "one", "a", "b")
    contents = index.contents()
    assert contents.packs == (pack,) == (Pack(pack.id, "red", "matches/red/one", "fp", 100, 2),)
    assert [
        (block.key, block.checksum, block.size_bytes, block.note, block.last_used_s) for block in contents.blocks
    ] == [
        ("a", "sum of a", 10, "note of a", 5),
        ("b", "sum of b", 10, "note of b", 5),
    ]
    assert set(contents.links) == {("red", "a"), ("red", "b")}


def test_a_transaction_that_raises_changes_nothing(index: Index) -> None:
    add(index, "red", "one", "a")
    before = index.contents()
    with pytest.raises(RuntimeError), index.transaction() as transaction:
        transaction.add_pack(new_pack("blue", "two", "b"), 5)
        transaction.remove_packs(before.packs)
        raise RuntimeError
    assert index.contents() == before
    assert index.removals() == []


def test_a_block_that_is_added_again_is_where_it_was_added_last(index: Index) -> None:
    add(index, "red", "one", "a", "b")
    second = add(index, "red", "two", "a")
    assert places(index)["a"] == second.id


def test_links_go_to_blocks_that_exist_and_are_made_once(index: Index) -> None:
    add(index, "red", "one", "a")
    for _ in range(2):
        with index.transaction() as transaction:
            transaction.link("blue", ["a", "unknown"])
    assert sorted(index.contents().links) == [("blue", "a"), ("red", "a")]


def test_removing_packs_takes_their_rows_and_notes_their_files(index: Index) -> None:
    pack = add(index, "red", "one", "a")
    kept = add(index, "red", "two", "b")
    with index.transaction() as transaction:
        transaction.remove_packs([pack])
    assert places(index) == {"b": kept.id}
    assert index.removals() == ["matches/red/one"]
    with index.transaction() as transaction:
        transaction.note_removals(["matches/red/one", "matches/red/three"])
        transaction.clear_removals(["matches/red/one"])
    assert index.removals() == ["matches/red/three"]


def test_a_block_is_dropped_only_from_the_pack_that_was_meant(index: Index) -> None:
    first = add(index, "red", "one", "a", "b")
    second = add(index, "red", "two", "a")
    with index.transaction() as transaction:
        transaction.drop_blocks([("a", first.id), ("b", first.id)])
    assert places(index) == {"a": second.id}


def test_moved_blocks_keep_their_last_use(index: Index) -> None:
    old = add(index, "red", "one", "a", "b", used_s=3)
    with index.transaction() as transaction:
        new = transaction.add_pack(new_pack("blue", "two", "a"), 9, ())
        transaction.move_blocks(["a"], [old], new)
        transaction.remove_packs([old])
    (block,) = index.contents().blocks
    assert (block.key, block.pack_id, block.last_used_s) == ("a", new.id, 3)


def test_removing_a_match_takes_what_only_it_used(index: Index) -> None:
    add(index, "blue", "one", "shared", "own")
    with index.transaction() as transaction:
        transaction.link("red", ["shared"])
        transaction.remove_match("red")
        transaction.remove_match("never heard of")
    assert set(index.contents().links) == {("blue", "shared"), ("blue", "own")}
    assert index.matches() == [("blue", index.matches()[0][1])]


def test_loose_ends_are_links_without_blocks_and_matches_without_anything(index: Index) -> None:
    pack = add(index, "red", "one", "a")
    add(index, "blue", "two", "b")
    with index.transaction() as transaction:
        transaction.remove_packs([pack])
        transaction.remove_loose_ends()
    assert index.contents().links == (("blue", "b"),)
    assert [match for match, _ in index.matches()] == ["blue"]


def test_blocks_come_in_the_order_of_their_last_use(index: Index) -> None:
    add(index, "red", "one", "a", "b", "c")
    with index.transaction() as transaction:
        transaction.touch({"a": 9, "c": 1})
    assert [block.key for block in index.contents().blocks] == ["c", "b", "a"]


def test_thousands_of_keys_fit_into_statements(index: Index) -> None:
    keys = [f"key{number}" for number in range(2_000)]
    pack = add(index, "red", "one", *keys)
    with index.transaction() as transaction:
        transaction.link("blue", keys)
        transaction.drop_blocks((key, pack.id) for key in keys[1:])
        transaction.unlink(keys[1:])
    assert list(places(index)) == ["key0"]
    assert sorted(index.contents().links) == [("blue", "key0"), ("red", "key0")]


def test_chunks_hold_everything_once() -> None:
    assert list(chunks(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(chunks([], 2)) == []
