import threading
from collections import deque
from pathlib import Path

import pytest

from kv_store.archive import Archive
from kv_store.books import Books
from kv_store.documents import Documents
from kv_store.pack import Tensors
from kv_store.scribe import AddLinks, DropBlock, ForgetMatch, Operation, PutBlock, Scribe, WriteDocument
from kv_store.upkeep import Upkeep
from tests.kv_store.worlds import opened_archive, pack_paths, tensors_of


class Room:
    """A scribe, and the books and archive that it works on."""

    def __init__(self, archive: Archive, pack_bytes: int = 1_000) -> None:
        lock, disk = threading.Condition(), threading.Lock()
        self.archive = archive
        self.books = Books("fp")
        self.documents = Documents(archive.index)
        upkeep = Upkeep(archive, self.books, lock, disk, None, pack_bytes)
        self.scribe = Scribe(archive, self.books, self.documents, upkeep, lock, disk, pack_bytes)

    def put(self, match: str, key: str, length: int = 64, tensors: Tensors | None = None) -> PutBlock:
        return PutBlock(self.books.add(match, key, tensors or tensors_of(key, length), length, "", 0))


def batches(room: Room, *operations: Operation) -> list[list[Operation]]:
    queue = deque(operations)
    taken = []
    while queue:
        taken.append(room.scribe.take(queue))
    return taken


def test_a_batch_is_about_one_pack_of_blocks(tmp_path: Path) -> None:
    with opened_archive(tmp_path) as archive:
        room = Room(archive, pack_bytes=100)
        a, b, c = room.put("red", "a", 60), room.put("red", "b", 60), room.put("red", "c", 500)
        link = AddLinks("blue", ("a",))
        assert batches(room, a, link, b, c) == [[a, link], [b], [c]]
        assert room.scribe.is_full(deque([a]))


def test_a_batch_has_no_more_blocks_and_tensors_than_a_header_should(tmp_path: Path) -> None:
    with opened_archive(tmp_path) as archive:
        room = Room(archive, pack_bytes=1 << 30)
        puts = [room.put("red", f"key{number}") for number in range(1_500)]
        assert [len(batch) for batch in batches(room, *puts)] == [1_024, 476]
        wide = {f"layer{number}": tensors_of("x")["k"] for number in range(10_000)}
        puts = [room.put("red", f"wide{number}", tensors=wide) for number in range(2)]
        assert [len(batch) for batch in batches(room, *puts)] == [1, 1]


def test_forgetting_a_match_is_a_batch_of_its_own(tmp_path: Path) -> None:
    with opened_archive(tmp_path) as archive:
        room = Room(archive)
        a, b, forget = room.put("red", "a"), room.put("red", "b"), ForgetMatch("red")
        assert batches(room, a, forget, b) == [[a], [forget], [b]]


def test_a_batch_of_several_matches_becomes_a_pack_in_each_folder(tmp_path: Path) -> None:
    with opened_archive(tmp_path) as archive:
        room = Room(archive)
        room.scribe.perform([room.put("red", "a"), room.put("blue", "b"), room.put("red", "c")])
        assert len(pack_paths(tmp_path)) == 2
        assert room.books.durable == {"a", "b", "c"} and room.books.check() == []


def test_a_block_that_was_forgotten_before_its_turn_is_not_written(tmp_path: Path) -> None:
    with opened_archive(tmp_path) as archive:
        room = Room(archive)
        put = room.put("red", "a")
        room.books.forget_match("red")
        room.scribe.perform([put])
        assert pack_paths(tmp_path) == []


def test_a_batch_that_fails_leaves_nothing_and_succeeds_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened_archive(tmp_path) as archive:
        room = Room(archive)
        room.documents.queue("session", "s", 1, deleted=False, now_s=0)
        batch: list[Operation] = [room.put("red", "a"), room.put("blue", "b"), WriteDocument("session", "s")]

        def refuse() -> None:
            raise OSError("the database is on a full disk")

        monkeypatch.setattr(archive.index, "transaction", refuse)
        with pytest.raises(OSError):
            room.scribe.perform(batch)
        assert pack_paths(tmp_path) == [] and room.books.durable == set() and len(room.documents) == 1
        monkeypatch.undo()
        room.scribe.perform(batch)
        assert room.books.durable == {"a", "b"} and len(room.documents) == 0 and room.books.check() == []


def test_performing_a_batch_twice_is_performing_it_once(tmp_path: Path) -> None:
    with opened_archive(tmp_path) as archive:
        room = Room(archive)
        room.books.link("blue", ["a"], 0)
        batch: list[Operation] = [room.put("red", "a"), AddLinks("blue", ("a",)), DropBlock("a", 77)]
        for _ in range(2):
            room.scribe.perform(batch)
        assert len(pack_paths(tmp_path)) == 1
        assert sorted(archive.index.contents().links) == [("blue", "a"), ("red", "a")]
        for _ in range(2):
            room.scribe.perform([ForgetMatch("red")])
        assert room.books.durable == {"a"}


def test_a_block_found_bad_is_replaced_by_the_one_put_after_it(tmp_path: Path) -> None:
    with opened_archive(tmp_path) as archive:
        room = Room(archive)
        room.scribe.perform([room.put("red", "a")])
        (old,) = archive.index.contents().blocks
        room.books.remove("a", keep_links=True)
        room.scribe.perform([DropBlock("a", old.pack_id), room.put("red", "a")])
        (new,) = archive.index.contents().blocks
        assert new.pack_id != old.pack_id and room.books.durable == {"a"}
