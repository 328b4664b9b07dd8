"""agent_runtime.keeping without a runtime: what is remembered of whom."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_runtime.errors import NameTaken
from agent_runtime.keeping import Keeper
from agent_runtime.turn import SessionSpec
from kv_store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "store", fingerprint="f")
    yield store
    store.close(5)


def test_a_session_is_remembered_in_its_own_match_and_taken_in_another(store: Store) -> None:
    keeper = Keeper(store)
    store.put_document("match", "m", {"game": "duel"})
    store.put_document("session", "s", {"match": "m", "last_turn_id": 3})
    assert keeper.match("m") == {"game": "duel"} and keeper.match("n") is None
    assert keeper.session(SessionSpec("s", "m")) == {"match": "m", "last_turn_id": 3}
    assert keeper.session(SessionSpec("t", "m")) is None
    with pytest.raises(NameTaken):
        keeper.session(SessionSpec("s", "n"))
    keeper.forget_match("m")
    assert keeper.match("m") is None and keeper.session(SessionSpec("s", "n")) is None


def test_without_a_store_nothing_is_remembered_and_nothing_fails() -> None:
    keeper = Keeper(None)
    assert keeper.match("m") is None and keeper.session(SessionSpec("s", "m")) is None
    keeper.keep_all([])
    keeper.forget_match("m")
    keeper.forget_session("s")
    keeper.close(0)
