"""Reports as tables in Markdown."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agent_runtime.tuning.evaluating.findings import LEAST_CLUSTERS

# Of fewer samples an interval holds less often than it says: Student's t takes their means to be normal.
_FEW = 30


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


def on_few(numbers: Iterable[int], what: str) -> str:
    """Return what has to be said below a table some of whose lines are of few samples, nothing if none is.

    `numbers` are how many each line is of, and `what` is what they are called.
    """
    fewest = min(numbers, default=_FEW)
    if fewest >= _FEW:
        return ""
    counted = f"{fewest} {what}" if fewest != 1 else f"1 {what.removesuffix('s')}"
    sentence = f"Here are lines of as few as {counted}: 95 % intervals over fewer than {_FEW} are not to be relied on"
    none = f", and over fewer than {LEAST_CLUSTERS} there is none" if fewest < LEAST_CLUSTERS else ""
    return f"\n{sentence}{none}.\n"
