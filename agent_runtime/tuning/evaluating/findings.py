"""Means with 95 % intervals, over values that come in clusters: the questions of one sample.

Questions about one state are alike: if its rules are misread, many go wrong at once. So are matches of one seed, and
the tokens of one conversation. So the spread is that of whole clusters (a ratio estimator), and Student's t has one
degree of freedom less than there are clusters.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent_runtime.replay.figures import student_t

# An interval from fewer clusters would be wider than what it is about.
LEAST_CLUSTERS = 5


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean in points (of 100) and half the width of its 95 % interval; None for fewer than five samples.

    The interval ends where a mean cannot be: a share at 0 and 100, a difference of shares at -100 and 100.
    """

    points: float
    half_width: float | None
    items: int
    samples: int
    least: float = 0.0

    @property
    def low(self) -> float | None:
        """Return the interval's lower end."""
        return None if self.half_width is None else max(self.least, self.points - self.half_width)

    @property
    def high(self) -> float | None:
        """Return the interval's upper end."""
        return None if self.half_width is None else min(100.0, self.points + self.half_width)

    def report(self) -> dict[str, Any]:
        """Return the estimate as the JSON report has it."""
        ends = [None if end is None else round(end, 3) for end in (self.low, self.high)]
        return {"points": round(self.points, 3), "interval": ends, "items": self.items, "samples": self.samples}


class Clusters:
    """A mean over values that come in clusters, and half the width of its 95 % interval; keeps sums only."""

    def __init__(self) -> None:
        self.num_clusters = 0
        self.num_values = 0
        self._total = self._squares = self._products = self._square_counts = 0.0

    def add(self, total: float, count: int) -> None:
        """Take a cluster of `count` values that add up to `total`; an empty one changes nothing."""
        if not count:
            return
        self.num_clusters += 1
        self.num_values += count
        self._total += total
        self._squares += total * total
        self._products += total * count
        self._square_counts += count * count

    @property
    def mean(self) -> float:
        """Return the mean over all values, NaN if there are none."""
        return self._total / self.num_values if self.num_values else math.nan

    @property
    def half_width(self) -> float | None:
        """Return half the width of the mean's interval, None for fewer than five clusters."""
        if self.num_clusters < LEAST_CLUSTERS:
            return None
        mean, num = self.mean, self.num_clusters
        spread = max(0.0, self._squares - 2 * mean * self._products + mean * mean * self._square_counts)
        return student_t(num - 1) * math.sqrt(spread * num / (num - 1)) / self.num_values

    def in_points(self, *, is_difference: bool = False) -> Estimate:
        """Return the mean of values between 0 and 1, or of differences of such, in points of 100."""
        half = None if self.half_width is None else 100 * self.half_width
        least = -100.0 if is_difference else 0.0
        return Estimate(100 * self.mean, half, self.num_values, self.num_clusters, least)

    def report(self) -> dict[str, Any]:
        """Return the mean as the JSON report has it."""
        mean, half = self.mean, self.half_width
        ends = [None, None] if half is None else [round(mean - half, 5), round(mean + half, 5)]
        return {"mean": round(mean, 5), "interval": ends}


def within_bounds(estimate: Mapping[str, Any], *, is_difference: bool = False) -> dict[str, Any]:
    """Return an estimate of a report with its interval ended where a share, or a difference, can be.

    Reports of before have intervals that go on beyond.
    """
    least = -100.0 if is_difference else 0.0
    ends = [None if end is None else min(100.0, max(least, end)) for end in estimate["interval"]]
    return {**estimate, "interval": ends}
