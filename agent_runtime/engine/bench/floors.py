"""What a device can do at best, measured beside every result: a result is a ratio to it."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch

from agent_runtime.engine.cpu_products import has_onednn, product

_BYTES = 2**30
# What no cache of a processor holds.
_LEAST_BYTES = 2**27
_SIDE = 8192


@dataclass(frozen=True, slots=True)
class Floors:
    """Bytes that are read and written by a copy, and floating-point operations of a product, each a second."""

    bandwidth_B_s: float
    matmul_FLOP_s: float

    def seconds(self, num_bytes: float, num_operations: float) -> float:
        """Return how long work takes that moves so many bytes and does so many operations, at the least."""
        return max(num_bytes / self.bandwidth_B_s, num_operations / self.matmul_FLOP_s)

    def report(self) -> dict[str, Any]:
        """Return the figures of a JSON report."""
        return asdict(self)


def measure_floors(device: torch.device, dtype: torch.dtype, *, scale: float = 1.0) -> Floors:
    """Measure a device; `scale` below 1 does with fewer operations, and less memory, if caches hold less still."""
    source = torch.ones(max(int(_BYTES * scale), _LEAST_BYTES), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    side = max(int(_SIDE * scale**0.5), 16)
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    copied = best_of(lambda: target.copy_(source), device)
    multiplied = best_of(lambda: a @ b, device)
    if device.type == "cpu" and dtype == torch.float32 and has_onednn():  # a model takes the faster one, too
        multiplied = min(multiplied, best_of(torch.inference_mode()(lambda: product(a, b)), device))
    return Floors(2 * source.numel() / copied, 2 * side**3 / multiplied)


def best_of(work: Callable[[], object], device: torch.device, times: int = 10) -> float:
    """Return the seconds of the fastest of some runs, after two that do not count."""
    best = float("inf")
    for number in range(times + 2):
        synchronize(device)
        begin = time.perf_counter()
        work()
        synchronize(device)
        if number >= 2:
            best = min(best, time.perf_counter() - begin)
    return best


def synchronize(device: torch.device) -> None:
    """Wait until a device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
