"""Shares and paired differences with 95 % intervals, over items that come in clusters: the questions of one sample.

Questions about one state are alike: if its rules are misread, many go wrong at once. So the spread is that of whole
samples (a ratio estimator over clusters), and Student's t has one degree of freedom less than there are samples.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agent_runtime.replay.figures import student_t
from agent_runtime.tuning.scoring import Item

# An interval from fewer samples would be wider than what it is about.
_LEAST_SAMPLES = 5


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean in points (of 100) and half the width of its 95 % interval; None for fewer than five samples."""

    points: float
    half_width: float | None
    items: int
    samples: int

    @property
    def low(self) -> float | None:
        """Return the interval's lower end."""
        return None if self.half_width is None else self.points - self.half_width

    @property
    def high(self) -> float | None:
        """Return the interval's upper end."""
        return None if self.half_width is None else self.points + self.half_width

    def report(self) -> dict[str, Any]:
        """Return the estimate as the JSON report has it."""
        ends = [None if end is None else round(end, 3) for end in (self.low, self.high)]
        return {"points": round(self.points, 3), "interval": ends, "items": self.items, "samples": self.samples}


def share_right(items: Sequence[Item], condition: int) -> Estimate:
    """Return the share of items that are right under a condition."""
    return _estimate(items, [float(item.right[condition]) for item in items])


def difference(items: Sequence[Item], above: int, below: int) -> Estimate:
    """Return by how many points condition `above` is right more often than `below`, on the same items."""
    return _estimate(items, [float(item.right[above]) - float(item.right[below]) for item in items])


def _estimate(items: Sequence[Item], values: Sequence[float]) -> Estimate:
    sums: dict[int, tuple[float, int]] = {}
    for item, value in zip(items, values, strict=True):
        total, count = sums.get(item.sample, (0.0, 0))
        sums[item.sample] = (total + value, count + 1)
    num_items, num_samples = len(items), len(sums)
    if not num_items:
        return Estimate(math.nan, None, 0, 0)
    mean = sum(values) / num_items
    if num_samples < _LEAST_SAMPLES:
        return Estimate(100 * mean, None, num_items, num_samples)
    spread = sum((total - mean * count) ** 2 for total, count in sums.values())
    error = math.sqrt(spread * num_samples / (num_samples - 1)) / num_items
    return Estimate(100 * mean, 100 * student_t(num_samples - 1) * error, num_items, num_samples)
