"""The tier of pinned memory behind a GPU's pool: copies that nobody waits for, and blocks that are whole when seen."""

import logging

import pytest
import torch

from agent_runtime.block_cache import host_tier
from agent_runtime.block_cache.host_tier import HostTier
from agent_runtime.block_cache.measuring import measure
from agent_runtime.engine.host_memory import HostMemory, pinned, plain
from agent_runtime.engine.kv_geometry import KVGeometry
from agent_runtime.engine.leaving import Leaving
from agent_runtime.engine.pool import Pool
from agent_runtime.engine.runs import Run
from agent_runtime.engine.staging import Staging, Stored, halves
from tests.gpu.worlds import cuda_world, nobody_waits

pytestmark = pytest.mark.gpu
LAYERS, BUSY = 4, 200_000_000
MIB = 2**20


def cuda_pool(num_slots: int = 4096, *, buffer_bytes: int = 2**18) -> Pool:
    """A pool whose copies take several batches, and buffers used again."""
    pool = Pool(KVGeometry(2, 64, torch.bfloat16, (torch.device("cuda:0"),) * LAYERS), num_slots)
    pool._staging = Staging(pool.keys, pool.values, buffer_bytes)
    pool._leaving = Leaving(pool.keys, pool.values, buffer_bytes)
    return pool


def fill(pool: Pool, runs: list[Run], seed: int = 0) -> list[torch.Tensor]:
    """What stands in runs from now on, [2, L, t, G, D] each."""
    generator = torch.Generator().manual_seed(seed)
    blocks = [torch.randn((2, LAYERS, run.length, 2, 64), generator=generator).bfloat16() for run in runs]
    pool.write_all([(run, each[0], each[1]) for run, each in zip(runs, blocks, strict=True)])
    return blocks


def wipe(pool: Pool) -> None:
    for layer in (*pool.keys, *pool.values):
        layer.fill_(7)


def standing(pool: Pool, run: Run) -> torch.Tensor:
    found = pool.read(run)
    return torch.stack([found["k"], found["v"]])


@pytest.mark.parametrize("way", [pinned, plain])
def test_what_leaves_a_busy_device_is_what_stood_there_and_comes_back(way: object) -> None:
    lengths = (85, 1, 300, *[85] * 20)
    pool = cuda_pool(2 * sum(lengths))  # they come back to others' slots
    tier = HostTier(pool, HostMemory(64 * MIB, [way], slab_bytes=MIB), keeps_loaded=True)  # type: ignore[list-item]
    runs = [pool.acquire(length) for length in lengths]
    names = [str(number) for number in range(len(runs))]
    blocks = fill(pool, runs)
    torch.cuda.synchronize()
    torch.cuda._sleep(BUSY)  # all of the following waits on the device
    tier.take(list(zip(names, runs, strict=True)))
    wipe(pool)  # the next forward takes the slots
    assert tier.find(names) == set(names)
    held = tier.hold(names)
    others = [pool.acquire(run.length) for run in runs]
    read = pool.load([(run, held[name]) for name, run in zip(names, others, strict=True)])
    tier.let_go(names, read, loaded=True)
    for run, block in zip(others, blocks, strict=True):
        assert torch.equal(standing(pool, run), block)
    stats = tier.stats()
    assert (stats.taken, stats.loaded) == (len(runs), len(runs)) and stats.is_pinned == (way is pinned)
    tier.check()


def test_evicting_and_loading_never_make_the_host_wait() -> None:
    pool = cuda_pool()
    tier = HostTier(pool, HostMemory(64 * MIB, [pinned]), keeps_loaded=True)
    runs = [pool.acquire(85) for _ in range(12)]
    names = [str(number) for number in range(len(runs))]
    blocks = fill(pool, runs)

    def there_and_back(prefix: str) -> None:
        keys = [prefix + name for name in names]
        tier.take(list(zip(keys, runs, strict=True)))
        wipe(pool)
        held = tier.hold(keys)
        tier.let_go(held, pool.load([(run, held[key]) for key, run in zip(keys, runs, strict=True)]), loaded=True)

    there_and_back("before")  # memory is pinned, and allocators have what they need
    torch.cuda.synchronize()
    torch.cuda._sleep(BUSY)
    with nobody_waits():
        there_and_back("now")
        is_busy = not torch.cuda.current_stream().query()
    assert is_busy
    for run, block in zip(runs, blocks, strict=True):
        assert torch.equal(standing(pool, run), block)


def test_memory_is_written_again_only_when_the_device_has_read_it() -> None:
    pool = cuda_pool()
    each = 85 * pool.geometry.bytes_per_token
    tier = HostTier(pool, HostMemory(2 * each + 8192, [pinned], slab_bytes=MIB), keeps_loaded=True)
    old, new, back = ([pool.acquire(85) for _ in range(2)] for _ in range(3))
    first = fill(pool, old, seed=1)
    second = fill(pool, new, seed=2)
    tier.take([("a", old[0]), ("b", old[1])])
    torch.cuda.synchronize()
    torch.cuda._sleep(BUSY)
    pool._staging._beside.wait_stream(torch.cuda.current_stream())  # type: ignore[union-attr]
    held = tier.hold(["a", "b"])
    read = pool.load([(run, held[name]) for name, run in zip("ab", back, strict=True)])
    tier.let_go(held, read, loaded=True)
    tier.take([("c", new[0]), ("d", new[1])])  # there is room for two
    assert tier.find("abcd") == {"c", "d"}
    for run, block in zip(back, first, strict=True):
        assert torch.equal(standing(pool, run), block)
    torch.cuda.synchronize()
    for name, block in zip("cd", second, strict=True):
        k, v = halves(tier.hold([name])[name], tuple(block.shape[1:]))
        assert torch.equal(torch.stack([k, v]), block)


def test_what_is_sent_ahead_lands_behind_the_forward_that_ran_meanwhile() -> None:
    pool = cuda_pool()
    runs = [pool.acquire(85) for _ in range(8)]
    blocks = [torch.randn((2, LAYERS, 85, 2, 64)).bfloat16().pin_memory() for _ in runs]
    pool.send([Stored((block.view(-1),)) for block in blocks])  # allocators have what they need
    torch.cuda.synchronize()
    torch.cuda._sleep(BUSY)
    sent = pool.send([Stored((block.view(-1),)) for block in blocks])
    assert len(sent) == 8 and sent[0].after is not None
    sent[0].after.synchronize()  # copied although the device is busy with the forward before
    assert not torch.cuda.current_stream().query()
    wipe(pool)
    pool.load([(run, each) for run, each in zip(runs, sent, strict=True)])
    del sent
    torch.empty(4 * MIB, dtype=torch.uint8, device="cuda").fill_(1)  # takes no memory that is still read
    for run, block in zip(runs, blocks, strict=True):
        assert torch.equal(standing(pool, run), block)


def test_a_device_without_room_for_buffers_evicts_all_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pool = cuda_pool()
    tier = HostTier(pool, HostMemory(64 * MIB, [pinned]), keeps_loaded=True)
    run = pool.acquire(85)
    gathered = pool._leaving._gathered

    def none(*arguments: object) -> None:
        gathered(*arguments)  # type: ignore[arg-type]
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(pool._leaving, "_gathered", none)
    with caplog.at_level(logging.WARNING, host_tier.__name__):
        tier.take([("a", run)])
    assert tier.find("a") == set() and len(caplog.messages) == 1
    tier.check()


def test_rates_are_measured_on_the_device() -> None:
    w = cuda_world("llama", torch.bfloat16)
    rates = measure(w.runner)
    assert rates.forward_s > 0 and rates.encode_tokens_s > 0 and rates.copy_tokens_s > 0
    assert w.pool.num_free == w.pool.num_slots
