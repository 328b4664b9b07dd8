"""Blocks from outside the pool: which way each comes, and what is read, sent ahead and kept for it."""

from collections.abc import Iterable, Sequence

import pytest
import torch

from agent_runtime.block_cache.costs import Rates
from agent_runtime.block_cache.host_tier import HostTier
from agent_runtime.block_cache.store import MemoryStore, Tensors
from agent_runtime.block_cache.supply import LoadOrEncode, ReadMeter, Supply
from agent_runtime.engine.host_memory import HostMemory, plain
from agent_runtime.engine.kv_geometry import KVGeometry
from agent_runtime.engine.pool import Pool
from agent_runtime.engine.runs import Run
from agent_runtime.engine.staging import Staging
from agent_runtime.token_blocks import TokenBlock

GEOMETRY = KVGeometry(2, 8, torch.float32, (torch.device("cpu"),) * 2)
# Whatever is encoded takes long, or nothing.
ENCODING_IS_SLOW, ENCODING_IS_QUICK = Rates(1.0, 1.0, 0.0, 1e6), Rates(0.0, 1e9, 1.0, 1.0)


def block(key: str, length: int = 5) -> TokenBlock:
    return TokenBlock(key, tuple(range(length)), key)


def numbers(length: int = 5) -> Tensors:
    k, v = torch.randn((2, 2, length, 2, 8)).unbind()
    return {"k": k, "v": v}


class Packs(MemoryStore):
    """A store that remembers what it was asked to read."""

    def __init__(self, blocks: dict[str, Tensors]) -> None:
        self.blocks = blocks
        self.read: list[list[str]] = []

    def get_many(self, keys: Iterable[str]) -> dict[str, Tensors]:
        self.read.append(list(keys))
        return {key: self.blocks[key] for key in self.read[-1] if key in self.blocks}

    def contains(self, keys: Iterable[str]) -> set[str]:
        return {key for key in keys if key in self.blocks}


class _RealPacks:
    """The same, of no kind that keeps nothing."""

    def __init__(self, blocks: dict[str, Tensors]) -> None:
        packs = Packs(blocks)
        self.read, self.get_many, self.contains, self.durable = (
            packs.read,
            packs.get_many,
            packs.contains,
            packs.durable,
        )
        self.put, self.link, self.forget_match = packs.put, packs.link, packs.forget_match


def supply_over(
    blocks: dict[str, Tensors],
    *,
    policy: LoadOrEncode = "load",
    rates: Rates | None = None,
    host_bytes: int = 0,
    keeps_loaded: bool = True,
) -> tuple[Supply, _RealPacks]:
    pool, store = Pool(GEOMETRY, 64), _RealPacks(blocks)
    host = HostTier(pool, HostMemory(host_bytes, [plain]), keeps_loaded=keeps_loaded) if host_bytes else None
    return Supply(pool, store, host=host, rates=rates, load_or_encode=policy), store


def loaded(supply: Supply, keys: Sequence[str], staged: object) -> dict[str, tuple[str, dict[str, torch.Tensor]]]:
    """Claim and load blocks of five tokens: where each lay, and what is in the pool then."""
    pool = supply._pool
    with supply.claimed(keys, staged) as claim:  # type: ignore[arg-type]
        runs: dict[str, Run] = {key: pool.acquire(5) for key in keys if key in claim.stored}
        claim.load(runs)
    found = {key: (claim.lay[key], pool.read(run)) for key, run in runs.items()}
    for run in runs.values():
        pool.release(run)
    return found


def assert_same(found: dict[str, torch.Tensor], tensors: Tensors) -> None:
    assert all(torch.equal(found[name], tensors[name]) for name in ("k", "v"))


def test_what_is_read_from_packs_stays_behind_a_gpu_and_is_not_read_again() -> None:
    packs = {"a": numbers(), "b": numbers()}
    supply, store = supply_over(packs, host_bytes=1 << 16)
    missing = [block("a"), block("b"), block("c")]
    for lay in ("in the store", "in host memory"):
        staged = supply.fetch(missing, 0)
        assert staged.asked == {"a", "b", "c"} and not staged.encode
        found = loaded(supply, "abc", staged)
        assert {key: where for key, (where, _) in found.items()} == {"a": lay, "b": lay}
        for key, (_, there) in found.items():
            assert_same(there, packs[key])
    assert store.read == [["a", "b", "c"], ["c"]]


def test_what_is_read_from_packs_stays_nowhere_else_where_the_pool_lies_in_host_memory() -> None:
    packs = {"a": numbers()}
    supply, store = supply_over(packs, host_bytes=1 << 16, keeps_loaded=False)
    for _ in range(2):
        found = loaded(supply, "a", supply.fetch([block("a")], 0))
        assert found["a"][0] == "in the store"
        assert_same(found["a"][1], packs["a"])
    assert store.read == [["a"], ["a"]] and supply.host is not None and supply.host.stats().blocks == 0


def test_what_leaves_the_hosts_memory_between_is_there_all_the_same() -> None:
    packs = {"a": numbers()}
    supply, _ = supply_over(packs, host_bytes=4096)
    staged = supply.fetch([block("a")], 0)
    assert supply.host is not None
    supply.host.put({"other": (numbers()["k"], numbers()["v"])})
    assert supply.host.find(["a"]) == set()
    found = loaded(supply, "a", staged)
    assert found["a"][0] == "in the store"
    assert_same(found["a"][1], packs["a"])


def test_what_is_sent_ahead_is_on_the_device_when_it_has_left_the_hosts_memory() -> None:
    packs = {"a": numbers(), "b": numbers()}
    supply, _ = supply_over(packs, host_bytes=1 << 16)
    pool = supply._pool
    pool._staging = Staging(pool.keys, pool.values)  # as if it were a GPU's
    assert not supply.fetch([block("a")], 0).sent  # in the background there is time
    staged = supply.fetch([block("a"), block("b")], 50)
    assert set(staged.sent) == {"a", "b"} and not staged.tensors and supply.host is not None
    supply.host.put({str(number): (numbers(90)["k"], numbers(90)["v"]) for number in range(9)})
    assert supply.host.find(["a", "b"]) == set()
    for key, (where, there) in loaded(supply, "ba", staged).items():
        assert where == {"a": "in host memory", "b": "in the store"}[key]
        assert_same(there, packs[key])


def test_with_loading_switched_off_nothing_is_read() -> None:
    supply, store = supply_over({"a": numbers()}, policy="encode")
    staged = supply.fetch([block("a"), block("b")], 0)
    assert staged.asked == {"a", "b"} and staged.encode == {"a"} and store.read == []
    assert loaded(supply, "ab", staged) == {} and supply.why_encoded == "loading is switched off"


@pytest.mark.parametrize(("rates", "is_read"), [(ENCODING_IS_SLOW, True), (ENCODING_IS_QUICK, False)])
def test_by_itself_it_takes_what_is_quicker(rates: Rates, is_read: bool) -> None:
    supply, store = supply_over({"a": numbers()}, policy="auto", rates=rates)
    staged = supply.fetch([block("a"), block("new")], 50)
    assert any("a" in keys for keys in store.read) == is_read
    assert staged.encode == (frozenset() if is_read else {"a"})
    assert set(loaded(supply, ["a", "new"], staged)) == ({"a"} if is_read else set())


def test_it_asks_no_store_that_keeps_nothing() -> None:
    supply = Supply(Pool(GEOMETRY, 8), MemoryStore(), rates=ENCODING_IS_QUICK, load_or_encode="auto")
    assert supply.fetch([block("a")], 0).encode == frozenset()


def test_a_disk_that_was_slow_is_tried_again_with_one_small_block(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    rates = Rates(0.0, 1000.0, 0.0, 1e9)
    supply, store = supply_over({"a": numbers(), "b": numbers(3)}, policy="auto", rates=rates)
    supply.meter = ReadMeter(lambda: now[0])
    supply.meter.add(10, 1.0)
    missing = [block("a"), block("b", 3)]
    assert supply.fetch(missing, 0).encode == {"a", "b"} and store.read == []
    now[0] = 31.0
    assert supply.fetch(missing, 0).encode == {"a"} and store.read == [["b"]]


def test_reads_of_late_count_more_and_opening_a_pack_counts_for_itself() -> None:
    meter = ReadMeter()
    assert meter.tokens_s is None
    meter.add(1000, 1.001)
    assert meter.tokens_s == pytest.approx(1000)
    for _ in range(20):
        meter.add(1000, 0.101)
    assert meter.tokens_s == pytest.approx(10_000, rel=0.01)


def test_one_read_that_stalled_is_forgotten_with_the_first_that_does_not() -> None:
    now = [0.0]
    meter = ReadMeter(lambda: now[0])
    meter.add(20, 10.001)
    now[0] = 31.0
    assert meter.is_old
    meter.add(20, 0.003)
    assert meter.tokens_s == pytest.approx(10_000) and not meter.is_old
    now[0] = 62.0
    meter.add(20, 0.021)  # slower, as a small read may be
    assert meter.tokens_s == pytest.approx(30 / 0.021)
