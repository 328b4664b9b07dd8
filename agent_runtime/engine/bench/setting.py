"""What the cases of the bench have in common: what they are measured with, and how a result is said."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from agent_runtime.engine.bench.floors import Floors
from agent_runtime.engine.bench.geometry import Bare
from agent_runtime.engine.compute_thread import Compute, at_once, computed
from agent_runtime.engine.cursor import PAGE_TOKENS
from agent_runtime.engine.forward import ForwardRunner
from agent_runtime.engine.scheduler import Engine

# Turns that do not count: kernels are compiled and graphs captured in them.
WARM_UP = 5
# Rows of a forward that turns join, and on a GPU of one that encodes blocks while no turn is near.
_MAX_ROWS, _QUIET_ROWS = 512, 8192


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is asked in a turn and how often, and how large forwards are: the scheduler's `max_rows` and so on."""

    observation: int
    turns: int
    max_rows: int
    quiet_rows: int

    @property
    def tail_slots(self) -> int:
        """Return the slots that the turns of one forward take while they last."""
        return (self.max_rows // self.observation + 1) * in_pages(self.observation)


def served_sizes(observation: int, turns: int, device: torch.device) -> Sizes:
    """Return sizes with forwards as large as a runtime's by default are on a device."""
    return Sizes(observation, turns, max_rows=_MAX_ROWS, quiet_rows=_MAX_ROWS if device.type == "cpu" else _QUIET_ROWS)


@dataclass(frozen=True, slots=True)
class Setting:
    """What is measured, and beside what. `limit` is how far scores may be from right ones, as the check says."""

    runner: ForwardRunner
    bare: Bare
    floors: Floors
    sizes: Sizes
    limit: float

    @property
    def device(self) -> torch.device:
        """Return the one device of all layers."""
        return self.bare.pool.geometry.devices[0]

    @property
    def compute(self) -> Compute:
        """Return what runs a call that computes: where the runtime computes, too."""
        return compute_on(self.device)

    def engine(self) -> Engine:
        """Return a scheduler over the runner; the caller closes it."""
        sizes = self.sizes
        return Engine(self.runner, max_rows=sizes.max_rows, quiet_rows=sizes.quiet_rows, compute=self.compute)


class BenchCase(Protocol):
    """Something to be timed. It takes its slots from the setting's pool, and gives all of them back."""

    @property
    def name(self) -> str:
        """Return what it is called in reports, and found by."""

    def slots(self, sizes: Sizes) -> int:
        """Return how many slots the pool has to have, but for the tails of one forward's turns."""

    def positions(self, sizes: Sizes) -> int:
        """Return how many positions the longest prompt has."""

    def measure(self, setting: Setting) -> dict[str, Any]:
        """Time it, and return the figures of a JSON report, `case` the first of them."""


def compute_on(device: torch.device) -> Compute:
    """Return what runs a call that computes on a device: on a CPU one thread does, for all of a process."""
    return computed if device.type == "cpu" else at_once


def figures(taken_s: Sequence[float], floor_s: float) -> dict[str, float]:
    """Return median and 99th percentile of some times beside what they take at the least, in milliseconds."""
    median = statistics.median(taken_s)
    return {
        "median_ms": round(1e3 * median, 6),
        "p99_ms": round(1e3 * percentile(taken_s, 99), 3),
        "floor_ms": round(1e3 * floor_s, 6),
        "ratio_to_floor": round(median / floor_s, 3),
    }


def in_ms(seconds: float | None) -> float | None:
    """Return seconds, if they were measured, in milliseconds."""
    return None if seconds is None else round(1e3 * seconds, 6)


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the smallest value that `percent` percent of all are not above."""
    return sorted(values)[max(0, math.ceil(percent * len(values) / 100) - 1)]


def causal(num_rows: int) -> int:
    """Return how many keys rows see that see all before them."""
    return num_rows * (num_rows + 1) // 2


def in_pages(num_tokens: int) -> int:
    """Return the slots that a tail of so many tokens takes."""
    return -(-num_tokens // PAGE_TOKENS) * PAGE_TOKENS
