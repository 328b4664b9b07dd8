"""Blocks in the host's memory: who goes first, what is never taken away, and what failing memory costs."""

import logging
import random
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_runtime.block_cache.host_tier import HostTier
from agent_runtime.engine.host_memory import UNIT_BYTES, HostMemory, plain
from agent_runtime.engine.kv_geometry import KVGeometry
from agent_runtime.engine.pool import Pool
from agent_runtime.engine.runs import Run
from agent_runtime.engine.staging import Stored, halves

# One token takes exactly one unit.
GEOMETRY = KVGeometry(4, 64, torch.float32, (torch.device("cpu"),) * 2)
BUDGET = 12
KEYS = "abcdefgh"


def numbers_of(key: str, length: int) -> torch.Tensor:
    """Keys and values [2, L, t, G, D] that no other block has."""
    generator = torch.Generator().manual_seed(ord(key))
    return torch.randn((2, 2, length, 4, 64), generator=generator)


class Shelf:
    """A pool and a tier behind it."""

    def __init__(self, *, budget: int = BUDGET, slab: int = 5, keeps_loaded: bool = True) -> None:
        self.pool = Pool(GEOMETRY, 64)
        memory = HostMemory(budget * UNIT_BYTES, [plain], slab_bytes=slab * UNIT_BYTES)
        self.tier = HostTier(self.pool, memory, keeps_loaded=keeps_loaded)

    def evict(self, blocks: Sequence[tuple[str, int]]) -> None:
        """Blocks leave the pool, and their slots are written over at once."""
        runs = []
        for key, length in blocks:
            runs.append((key, self.pool.acquire(length)))
            self.pool.write(runs[-1][1], *numbers_of(key, length))
        self.tier.take(runs)
        for _, run in runs:
            for layer in (*self.pool.keys, *self.pool.values):
                layer[torch.from_numpy(run.slots())] = 0
            self.pool.release(run)

    def read(self, keys: Sequence[str]) -> None:
        self.tier.put({key: tuple(numbers_of(key, length_of(key)).unbind()) for key in keys})  # type: ignore[misc]


def length_of(key: str) -> int:
    return 1 + KEYS.index(key)


def is_whole(key: str, stored: Stored) -> bool:
    expected = numbers_of(key, length_of(key))
    k, v = halves(stored, tuple(expected.shape[1:]))
    return torch.equal(k, expected[0]) and torch.equal(v, expected[1])


class Model:
    """The same in words: keys by last use, each as many units as it has tokens."""

    def __init__(self) -> None:
        self.keys: OrderedDict[str, int] = OrderedDict()  # how often each is held

    def used(self) -> int:
        return sum(map(length_of, self.keys))

    def room(self, length: int, besides: int) -> bool:
        if length > BUDGET:
            return False
        while self.used() + besides + length > BUDGET:
            victim = next((key for key, holds in self.keys.items() if not holds), None)
            if victim is None:
                return False
            del self.keys[victim]
        return True

    def take(self, keys: Sequence[str]) -> None:
        coming: list[str] = []
        here = [key for key in keys if key in self.keys]
        for key in here:
            self.keys.move_to_end(key)
        for key in reversed([key for key in keys if key not in here]):
            if self.room(length_of(key), sum(map(length_of, coming))):
                coming.append(key)
            else:
                break
        for key in reversed(coming):
            self.keys[key] = 0

    def put(self, keys: Sequence[str]) -> None:
        for key in keys:
            if key not in self.keys and self.room(length_of(key), 0):
                self.keys[key] = 0


some_keys = st.lists(st.sampled_from(KEYS), max_size=4, unique=True)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["take", "put", "hold", "let go", "find"]), some_keys), max_size=40))
def test_the_least_recently_used_goes_first_and_what_is_held_stays_within_the_budget(
    moves: list[tuple[str, list[str]]],
) -> None:
    shelf, model, held = Shelf(), Model(), list[list[str]]()
    for move, keys in moves:
        match move:
            case "take":
                shelf.evict([(key, length_of(key)) for key in keys])
                model.take(keys)
            case "put":
                shelf.read(keys)
                model.put(keys)
            case "hold":
                found = shelf.tier.hold(keys)
                assert list(found) == [key for key in keys if key in model.keys]
                assert all(is_whole(key, stored) for key, stored in found.items())
                for key in found:
                    model.keys[key] += 1
                    model.keys.move_to_end(key)
                held.append(list(found))
            case "let go" if held:
                gone = held.pop()
                shelf.tier.let_go(gone, None, loaded=bool(keys))
                for key in gone:
                    model.keys[key] -= 1
            case "find":
                assert shelf.tier.find(keys) == model.keys.keys() & set(keys)
                for key in [key for key in keys if key in model.keys]:
                    model.keys.move_to_end(key)
        shelf.tier.check()
        assert list(shelf.tier._blocks) == list(model.keys)
        stats = shelf.tier.stats()
        assert stats.used_bytes == model.used() * UNIT_BYTES <= stats.budget_bytes == BUDGET * UNIT_BYTES


def test_where_the_pool_lies_in_host_memory_too_a_block_is_in_one_of_the_two() -> None:
    shelf = Shelf(keeps_loaded=False)
    shelf.evict([("a", 1), ("b", 2)])
    held = shelf.tier.hold(["a", "b"])
    shelf.tier.let_go(["a"], None, loaded=True)
    shelf.tier.let_go(["b"], None, loaded=False)
    assert set(held) == {"a", "b"} and shelf.tier.find("ab") == {"b"}
    shelf.tier.check()


def test_of_blocks_that_leave_together_those_used_last_are_kept() -> None:
    shelf = Shelf(budget=9)
    shelf.evict([("d", 4), ("e", 5), ("c", 3)])
    assert shelf.tier.find("cde") == {"e", "c"}
    assert shelf.tier.stats().refused == 1
    shelf.evict([("c", 3), ("b", 2)])  # c is here: nothing is copied
    assert shelf.tier.find("bce") == {"b", "c"} and shelf.tier.stats().taken == 3


def test_a_block_beyond_the_budget_costs_no_other_its_place() -> None:
    shelf = Shelf(budget=4)
    shelf.evict([("c", 3)])
    shelf.evict([("h", 8)])
    shelf.read(["g"])
    assert shelf.tier.find(KEYS) == {"c"}


def test_a_device_without_room_for_buffers_evicts_all_the_same_and_says_so_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = Shelf()

    def fail(blocks: Sequence[tuple[Run, Any]]) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate\nmuch")

    monkeypatch.setattr(shelf.pool, "save", fail)
    with caplog.at_level(logging.WARNING):
        shelf.evict([("a", 1)])
        shelf.evict([("b", 2)])
    assert len(caplog.messages) == 1 and "CUDA out of memory" in caplog.messages[0]
    shelf.tier.check()
    assert shelf.tier.find("ab") == set() and shelf.pool.num_free == 64


def test_a_machine_without_memory_is_a_tier_without_blocks(caplog: pytest.LogCaptureFixture) -> None:
    shelf = Shelf()

    def none(size: int) -> torch.Tensor:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    tier = HostTier(shelf.pool, HostMemory(9 * UNIT_BYTES, [none]), keeps_loaded=True)
    shelf.tier = tier
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            shelf.evict([("a", 1), ("b", 2)])
            shelf.read(["c"])
    assert len(caplog.messages) == 1 and tier.stats().blocks == 0
    tier.check()


class _Event:
    """A device's event that says when it was waited for."""

    def __init__(self, said: list[str], name: str) -> None:
        self.said, self.name = said, name

    def query(self) -> bool:
        return False

    def synchronize(self) -> None:
        self.said.append(self.name)


def test_memory_goes_to_others_when_the_device_has_written_and_read_it(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf, said = Shelf(budget=3), list[str]()
    save = shelf.pool.save

    def saved(blocks: Any) -> Any:
        save(blocks)
        return _Event(said, "written")

    monkeypatch.setattr(shelf.pool, "save", saved)
    shelf.evict([("c", 3)])
    assert shelf.tier.hold("c")["c"].after is not None and said == []
    shelf.tier.let_go("c", _Event(said, "read"), loaded=True)  # type: ignore[arg-type]
    shelf.evict([("b", 2)])
    assert said == ["written", "read"] and shelf.tier.find("bc") == {"b"}


def test_threads_that_read_packs_beside_the_engines_never_see_half_a_block() -> None:
    shelf, failures = Shelf(budget=20), list[str]()

    def fetch(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(300):
            keys = rng.sample(KEYS, 3)
            shelf.read(keys)
            held = shelf.tier.hold(rng.sample(KEYS, 4))
            failures.extend(key for key, stored in held.items() if not is_whole(key, stored))
            shelf.tier.let_go(held, None, loaded=False)

    threads = [threading.Thread(target=fetch, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    rng = random.Random(9)
    while any(thread.is_alive() for thread in threads):
        shelf.evict([(key, length_of(key)) for key in rng.sample(KEYS, 3)])
    for thread in threads:
        thread.join()
    assert failures == []
    shelf.tier.check()
    assert shelf.tier.stats().dropped > 0


def test_a_block_that_is_held_under_two_names_of_one_prompt_is_held_once() -> None:
    shelf = Shelf(budget=3)
    shelf.evict([("b", 2)])
    shelf.tier.let_go(shelf.tier.hold(["b", "b"]), None, loaded=False)
    shelf.evict([("c", 3)])
    assert shelf.tier.find("bc") == {"c"}, "nobody reads the other any more, so it goes"
