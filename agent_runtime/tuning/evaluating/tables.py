"""Reports as tables in Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any


def as_table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return lines of cells under a head."""
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *lines]) + "\n"


def negated(estimate: Mapping[str, Any]) -> dict[str, Any]:
    """Return a difference of a report seen from the other side: of what a mode costs, by how much it is above."""
    low, high = estimate["interval"]
    what = "points" if "points" in estimate else "mean"
    ends = [None, None] if low is None else [-high, -low]
    return {**estimate, what: -estimate[what], "interval": ends}


def with_interval(estimate: Mapping[str, Any]) -> str:
    """Return an estimate of a report, in points or a mean, with its 95 % interval where it has one."""
    low, high = estimate["interval"]
    return f"{estimate['points' if 'points' in estimate else 'mean']:z.2f}" + (
        "" if low is None else f" [{low:z.2f}, {high:z.2f}]"
    )
