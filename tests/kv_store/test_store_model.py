"""The store against a dictionary: random puts, gets, links, forgets, faults, flushes and reopenings."""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from kv_store.check import check_store
from kv_store.store import Store
from tests.kv_store.worlds import FINGERPRINT, QUICK, flip_byte, pack_paths, same, tensors_of, wrong_books

MATCHES = st.sampled_from(["red", "blue", "green"])
KEYS = st.sampled_from([f"key{number}" for number in range(6)])
LENGTH = 600
LIMITS = replace(QUICK, pack_bytes=4 * LENGTH)


class StoreAgainstADictionary(RuleBasedStateMachine):
    """`users` says for each key who uses it; what nobody uses does not exist. Content follows from the key."""

    budget_bytes: int | None = None

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.users: dict[str, set[str]] = {}
        self.flushed: set[str] = set()
        self.bodies: dict[str, int] = {}
        self.open()

    def open(self) -> None:
        self.store = Store(self.folder, fingerprint=FINGERPRINT, budget_bytes=self.budget_bytes, limits=LIMITS)

    def teardown(self) -> None:
        self.store.close(10)
        assert check_store(self.folder).clean
        shutil.rmtree(self.folder)

    @rule(match=MATCHES, keys=st.sets(KEYS, min_size=1))
    def put(self, match: str, keys: set[str]) -> None:
        for key in sorted(keys):
            self.store.put(match, key, tensors_of(key, LENGTH))
            self.users.setdefault(key, set()).add(match)

    @rule(match=MATCHES, key=KEYS)
    def link(self, match: str, key: str) -> None:
        if key in self.users:
            self.store.link(match, [key])
            self.users[key].add(match)

    @rule(match=MATCHES)
    def forget(self, match: str) -> None:
        self.store.forget_match(match)
        self.users = {key: rest for key, users in self.users.items() if (rest := users - {match})}
        self.flushed &= self.users.keys()

    @rule(keys=st.sets(KEYS))
    def get(self, keys: set[str]) -> None:
        found = self.store.get_many(keys)
        assert found.keys() == keys & self.users.keys()
        assert all(same(found[key], tensors_of(key, LENGTH)) for key in found)

    @rule(id=st.sampled_from("ab"), body=st.integers() | st.none())
    def put_document(self, id: str, body: int | None) -> None:
        if body is None:
            self.store.delete_document("session", id)
            self.bodies.pop(id, None)
        else:
            self.store.put_document("session", id, body)
            self.bodies[id] = body

    @rule()
    def flush(self) -> None:
        self.store.flush(10)
        self.flushed = set(self.users)

    @rule()
    def reopen(self) -> None:
        self.store.close(10)
        self.open()
        self.flushed = set(self.users)

    @precondition(lambda self: self.budget_bytes is None)
    @rule()
    def check(self) -> None:
        assert self.store.check().clean

    @invariant()
    def agrees(self) -> None:
        keys = [f"key{number}" for number in range(6)]
        assert self.store.contains(keys) == self.users.keys()
        assert self.store.durable(keys) >= self.flushed
        assert {one.id: one.body for one in self.store.list_documents("session")} == self.bodies
        assert wrong_books(self.store) == []


class DamagedStoreAgainstADictionary(StoreAgainstADictionary):
    """The same while somebody flips bytes in packs and deletes them: what is damaged is absent, never wrong."""

    @rule(number=st.integers(0, 20), position=st.integers(-LENGTH, -1), deleted=st.booleans())
    def damage(self, number: int, position: int, deleted: bool) -> None:
        with self.store._disk:
            if packs := pack_paths(self.folder):
                path = packs[number % len(packs)]
                path.unlink() if deleted else flip_byte(path, position)

    @rule(keys=st.sets(KEYS))
    def get(self, keys: set[str]) -> None:
        found = self.store.get_many(keys)
        assert found.keys() <= self.users.keys()
        assert all(same(found[key], tensors_of(key, LENGTH)) for key in found)
        assert self.store.contains(keys) == found.keys()

    @rule()
    def check(self) -> None:
        self.store.check(repair=True)
        assert self.store.check().clean

    @invariant()
    def agrees(self) -> None:
        keys = [f"key{number}" for number in range(6)]
        assert self.store.contains(keys) <= self.users.keys()
        assert wrong_books(self.store) == []

    def teardown(self) -> None:
        self.store.close(10)
        check_store(self.folder, repair=True)
        assert check_store(self.folder).clean
        shutil.rmtree(self.folder)


class SmallStoreAgainstADictionary(StoreAgainstADictionary):
    """The same within a budget of about four blocks: some are absent, the files stay within it, the newest stay."""

    budget_bytes = 5 * LENGTH

    @rule(keys=st.sets(KEYS))
    def get(self, keys: set[str]) -> None:
        found = self.store.get_many(keys)
        assert found.keys() <= keys & self.users.keys()
        assert all(same(found[key], tensors_of(key, LENGTH)) for key in found)

    @rule()
    def flush(self) -> None:
        self.store.flush(10)
        with self.store._disk:
            assert sum(path.stat().st_size for path in pack_paths(self.folder)) <= self.budget_bytes

    @invariant()
    def agrees(self) -> None:
        keys = [f"key{number}" for number in range(6)]
        assert self.store.contains(keys) <= self.users.keys()
        assert {one.id: one.body for one in self.store.list_documents("session")} == self.bodies
        assert wrong_books(self.store) == []


MACHINES = [StoreAgainstADictionary, DamagedStoreAgainstADictionary, SmallStoreAgainstADictionary]


@pytest.mark.parametrize("machine", MACHINES)
def test_a_store_agrees_with_a_dictionary(machine: type[StoreAgainstADictionary]) -> None:
    run_state_machine_as_test(machine, settings=settings(max_examples=7, stateful_step_count=20, deadline=None))


@pytest.mark.soak
@pytest.mark.parametrize("machine", MACHINES)
def test_a_store_agrees_with_a_dictionary_for_long(machine: type[StoreAgainstADictionary]) -> None:
    run_state_machine_as_test(machine, settings=settings(max_examples=200, stateful_step_count=50, deadline=None))
