from collections.abc import Iterator
from pathlib import Path

import pytest

from kv_store.database import open_database
from kv_store.documents import Document, Documents, check_name, write
from kv_store.errors import BadDocument
from kv_store.index import Index


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    engine = open_database(tmp_path, None)
    yield Index(engine)
    engine.dispose()


def settle(index: Index, documents: Documents, *names: tuple[str, str]) -> list[BadDocument]:
    documents.take(names)
    queued = documents.queued(names)
    with index.transaction() as transaction:
        refused = write(transaction, queued)
    documents.settle(queued, len(refused))
    return refused


def put(documents: Documents, id: str, body: object) -> bool:
    return documents.queue("session", id, body, deleted=False, now_s=7)


def delete(documents: Documents, id: str) -> bool:
    return documents.queue("session", id, None, deleted=True, now_s=7)


def test_a_document_reads_the_same_before_and_after_it_is_written(index: Index) -> None:
    documents = Documents(index)
    body = {"text": "é \ud800 \0", "list": [1, 2.5, None, True], "nested": {"a": {}}}
    put(documents, "a", body)
    expected = Document("session", "a", body, 1, 7)
    assert documents.get("session", "a") == expected
    settle(index, documents, ("session", "a"))
    assert len(documents) == 0
    assert documents.get("session", "a") == expected
    assert Documents(index).get("session", "a") == expected


def test_puts_that_come_together_are_one_write_of_the_latest(index: Index) -> None:
    documents = Documents(index)
    assert put(documents, "a", 1)
    assert not put(documents, "a", 2)
    assert [queued.body for queued in documents.queued([("session", "a")])] == [2]


def test_a_put_while_an_older_one_is_written_is_written_after_it(index: Index) -> None:
    documents = Documents(index)
    put(documents, "a", 1)
    documents.take([("session", "a")])
    in_flight = documents.queued([("session", "a")])
    assert put(documents, "a", 2)
    documents.settle(in_flight, 0)
    found = documents.get("session", "a")
    assert found is not None and (found.body, found.version) == (2, 2)
    assert len(documents) == 1


def test_versions_grow_over_deletion_and_reopening(index: Index) -> None:
    documents = Documents(index)
    put(documents, "a", 1)
    settle(index, documents, ("session", "a"))
    delete(documents, "a")
    assert documents.get("session", "a") is None
    assert documents.all_of("session") == []
    put(documents, "a", 3)
    settle(index, documents, ("session", "a"))
    reopened = Documents(index)
    put(reopened, "a", 4)
    found = reopened.get("session", "a")
    assert found is not None and found.version == 4


def test_a_listing_shows_the_latest_of_each_by_id(index: Index) -> None:
    documents = Documents(index)
    for id in ("c", "a", "b", "d"):
        put(documents, id, f"old {id}")
    settle(index, documents, *(("session", id) for id in "abcd"))
    put(documents, "b", "new b")
    delete(documents, "c")
    documents.queue("match", "z", "of another kind", deleted=False, now_s=7)
    assert [(document.id, document.body) for document in documents.all_of("session")] == [
        ("a", "old a"),
        ("b", "new b"),
        ("d", "old d"),
    ]


def test_a_deletion_reaches_the_disk(index: Index) -> None:
    documents = Documents(index)
    put(documents, "a", 1)
    settle(index, documents, ("session", "a"))
    delete(documents, "a")
    settle(index, documents, ("session", "a"))
    assert Documents(index).get("session", "a") is None


def test_a_body_that_is_not_json_is_refused_and_does_not_keep_others_from_the_disk(index: Index) -> None:
    documents = Documents(index)
    put(documents, "bad", {"a": object()})
    put(documents, "good", 1)
    with pytest.raises(BadDocument, match="not JSON"):
        documents.get("session", "bad")
    refused = settle(index, documents, ("session", "bad"), ("session", "good"))
    assert [error.id for error in refused] == ["bad"]
    assert documents.refused == 1
    assert [document.id for document in documents.all_of("session")] == ["good"]


def test_a_name_that_no_database_can_hold_is_refused() -> None:
    with pytest.raises(BadDocument, match="must be text"):
        check_name("session", "\ud800")
