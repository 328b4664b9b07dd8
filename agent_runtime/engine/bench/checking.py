"""Scores are checked before anything is timed: kernels against plain torch, plain torch against its other way.

Plain torch has two ways that share no arithmetic of positions: one moves a copy of the keys, one the queries. How far
they are apart in a half-precision dtype is what rounding leaves there.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from agent_runtime.engine import attention
from agent_runtime.engine.bench.errors import ScoresDiffer
from agent_runtime.engine.bench.geometry import Bare
from agent_runtime.engine.forward import ForwardRunner
from agent_runtime.engine.likeness import EXACT, distances, rounding
from agent_runtime.engine.runs import Run
from agent_runtime.engine.span import NOTHING, Span, view_of_blocks

WAYS = {"kernels": attention.BY_KERNELS, "torch": attention.MOVE_KEYS}
REFERENCE = attention.MOVE_QUERIES
# Blocks over which a way is checked: these are encoded, and one stands there already; a long one for kernels, which
# read it another way. Models of few positions do with less.
_ENCODED, _ASKED = (40, 85, 1, 200, 33), 50
_STORED = {"kernels": 6000, "torch": 600}
# The one that stands there is what plain torch has made of so many tokens at a time. Anything would do for random
# weights; others answer noise with noise, and rounding is then a thousand times as large.
_STORED_PART = 500


@dataclass(frozen=True, slots=True)
class Check:
    """How far rows of scores are on average from those they were held `against`, and how far they may be.

    A row's distance is relative to the row's length.
    """

    against: str
    distance: float
    limit: float

    def report(self) -> dict[str, Any]:
        """Return the figures of a JSON report."""
        return asdict(self)


def agreed(
    way: str, found: torch.Tensor, by_keys: torch.Tensor, by_queries: torch.Tensor, *, dtype: torch.dtype
) -> Check:
    """Return how far scores `found` in a way are from plain torch's, which are given in both of its ways.

    `dtype` is that of keys and values. Raises ScoresDiffer if scores differ by more than rounding.
    """
    against, other = ("plain torch", by_keys) if way == "kernels" else ("plain torch, queries moved", by_queries)
    noise = _distance(by_keys, by_queries)
    limit = EXACT if dtype == torch.float32 else rounding(noise)
    distance = _distance(found, other)
    if not distance <= limit:
        raise ScoresDiffer(way, against, distance, limit)
    return Check(against, distance, limit)


def check_way(bare: Bare, way: str) -> Check:
    """Check what is about to be timed on blocks of several lengths. Raises ScoresDiffer."""
    pool = bare.pool
    *encoded, stored = (pool.acquire(length) for length in _lengths(bare.rope.num_positions, way))
    try:
        _fill(bare, stored)
        by_keys, by_queries = (_scores(bare, each, encoded, stored) for each in (attention.MOVE_KEYS, REFERENCE))
        found = by_keys if way == "torch" else _scores(bare, WAYS[way], encoded, stored)
    finally:
        for run in (*encoded, stored):
            pool.release(run)
    return agreed(way, found, by_keys, by_queries, dtype=pool.geometry.dtype)


def checked_slots(num_positions: int, way: str) -> int:
    """Return the slots that the check of a way takes in a model of so many positions."""
    return sum(_lengths(num_positions, way))


def _lengths(num_positions: int, way: str) -> list[int]:
    """Return the lengths of the blocks that are encoded, and last that of the one that stands there."""
    left, lengths = num_positions - _ASKED, []
    for length in (*_ENCODED, _STORED[way]):
        lengths.append(max(0, min(length, left)))
        left -= lengths[-1]
    return lengths


def _fill(bare: Bare, stored: Run) -> None:
    runner = ForwardRunner(bare.model, bare.pool, bare.rope)
    try:
        for first in range(0, stored.length, _STORED_PART):
            part = stored.part(first, min(first + _STORED_PART, stored.length))
            runner.run([Span(_ids(bare, first, part.length), 0, NOTHING, keep=part)])
    finally:
        runner.close()


def _scores(bare: Bare, way: str, encoded: Sequence[Run], stored: Run) -> torch.Tensor:
    runner = ForwardRunner(bare.model, bare.pool, bare.rope, way=way)
    try:
        runs = [run for run in (*encoded, stored) if run.length]
        view = view_of_blocks(runs, anchored=False)
        spans = [Span(_ids(bare, 7, run.length), 0, NOTHING, keep=run) for run in encoded if run.length]
        asked = Span(_ids(bare, 5, _ASKED), view.behind, view, wanted="all")
        return runner.run([*spans, asked])[asked].cpu()
    finally:
        runner.close()


def _ids(bare: Bare, first: int, count: int) -> list[int]:
    return [token % bare.vocab_size for token in range(first, first + count)]


def _distance(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(distances(one, other).mean())
