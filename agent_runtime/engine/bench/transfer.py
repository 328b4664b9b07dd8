"""Blocks brought from pinned host memory into the pool, beside one plain copy of as many bytes over the same link."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from agent_runtime.engine.bench.floors import best_of, synchronize
from agent_runtime.engine.bench.regions import Regions
from agent_runtime.engine.bench.setting import Setting, Sizes, figures
from agent_runtime.engine.pool import Pool
from agent_runtime.engine.runs import Run
from agent_runtime.engine.staging import write_by_layer

_GIB = 2**30


@dataclass(frozen=True, slots=True)
class Transfer:
    """Blocks as a store has them, keys and values of all layers each.

    They are written `together`, as a turn's are that come from the store at once, `one by one`, or a call for each
    layer of each block: what a pool does whose layers lie on several devices. `host_ms` is what the host needs of it.
    """

    name: str
    way: Literal["together", "one by one", "by layer"]
    num_blocks: int = 300
    block_tokens: int = 85
    times: int = 5

    def slots(self, sizes: Sizes) -> int:
        """Return the slots of the blocks."""
        return self.num_blocks * self.block_tokens

    def positions(self, sizes: Sizes) -> int:
        """Return the positions of one block."""
        return self.block_tokens

    def measure(self, setting: Setting) -> dict[str, Any]:
        """Time it `times` times after once that does not count, and see whether the blocks are there."""
        pool, geometry = setting.bare.pool, setting.bare.pool.geometry
        world = Regions(setting.bare, self.num_blocks, self.block_tokens)
        try:
            shape = (
                self.num_blocks,
                2,
                geometry.num_layers,
                self.block_tokens,
                geometry.num_kv_heads,
                geometry.head_dim,
            )
            host = torch.empty(shape, dtype=geometry.dtype, pin_memory=setting.device.type == "cuda")
            for block in host:
                block.copy_(torch.randn(block.shape, dtype=geometry.dtype, device=setting.device))
            floor = _plain_copy(host, setting.device)
            for layer in (*pool.keys, *pool.values):
                layer.zero_()
            stored = [(run, block[0], block[1]) for run, block in zip(world.runs, host, strict=True)]
            write = {"together": _together, "one by one": _one_by_one, "by layer": _by_layer}[self.way]
            timed = [_timed(lambda: write(pool, stored), setting.device) for _ in range(1 + self.times)][1:]
            is_equal = all(_is_there(pool, *each) for each in stored)
        finally:
            world.close()
        num_bytes = host.numel() * host.itemsize
        found = figures([taken for taken, _ in timed], floor)
        return {
            "case": self.name,
            "blocks": self.num_blocks,
            "block_tokens": self.block_tokens,
            "times": self.times,
            "GiB": round(num_bytes / _GIB, 6),
            "is_pinned": host.is_pinned(),
            "equal": is_equal,
            **found,
            "host_ms": round(1e3 * statistics.median(given for _, given in timed), 3),
            "GiB_s": round(num_bytes / _GIB / (1e-3 * found["median_ms"]), 3),
            "plain_GiB_s": round(num_bytes / _GIB / floor, 3),
            "share_of_link": round(1 / found["ratio_to_floor"], 3),
        }


def _plain_copy(host: torch.Tensor, device: torch.device) -> float:
    """Return the seconds of one copy of all bytes."""
    target = torch.empty_like(host, device=device)
    return best_of(lambda: target.copy_(host, non_blocking=True), device, times=5)


def _timed(work: Callable[[], None], device: torch.device) -> tuple[float, float]:
    """Return the seconds until it is done, and those until the host had given all of it to the device."""
    synchronize(device)
    begin = time.perf_counter()
    work()
    given = time.perf_counter() - begin
    synchronize(device)
    return time.perf_counter() - begin, given


_Blocks = Sequence[tuple[Run, torch.Tensor, torch.Tensor]]


def _together(pool: Pool, stored: _Blocks) -> None:
    pool.write_all(stored)


def _one_by_one(pool: Pool, stored: _Blocks) -> None:
    for run, k, v in stored:
        pool.write(run, k, v)


def _by_layer(pool: Pool, stored: _Blocks) -> None:
    for run, k, v in stored:
        write_by_layer(pool.keys, pool.values, run.slots(), k, v)


def _is_there(pool: Pool, run: Run, k: torch.Tensor, v: torch.Tensor) -> bool:
    found = pool.read(run)
    return torch.equal(found["k"], k) and torch.equal(found["v"], v)


CASES = (
    Transfer("transfer: blocks from pinned memory, together", "together"),
    Transfer("transfer: blocks from pinned memory, one by one", "one by one"),
    Transfer("transfer: blocks from pinned memory, layer by layer", "by layer"),
)
