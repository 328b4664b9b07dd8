"""Scores are checked before anything is timed: kernels against plain torch, plain torch against its other way.

Plain torch has two ways that share no arithmetic of positions: one moves a copy of the keys, one the queries. How far
they are apart in a half-precision dtype is what rounding leaves there.
"""

from dataclasses import asdict, dataclass
from typing import Any

import torch

from agent_runtime.engine import attention
from agent_runtime.engine.bench.errors import ScoresDiffer
from agent_runtime.engine.bench.geometry import Bare
from agent_runtime.engine.forward import ForwardRunner
from agent_runtime.engine.span import NOTHING, Span, view_of_blocks

WAYS = {"kernels": attention.BY_KERNELS, "torch": attention.MOVE_KEYS}
REFERENCE = attention.MOVE_QUERIES
# Blocks over which a way is checked: those are encoded, and a long one stands there already, which kernels read another
# way. Models of few positions do with less.
_ENCODED, _STORED, _ASKED = (40, 85, 1, 200, 33), 6000, 50
# Relative to the largest score: what is rounding in float32, and what never is. Between them lies four times what the
# two ways of plain torch differ by.
_EXACT, _MOST = 1e-4, 0.1


@dataclass(frozen=True, slots=True)
class Check:
    """How far scores are from those they were held `against`, and how far they may be; relative to the largest."""

    against: str
    largest_difference: float
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
    noise = _difference(by_keys, by_queries)
    limit = _EXACT if dtype == torch.float32 else min(max(_EXACT, 4 * noise), _MOST)
    difference = _difference(other, found)
    if not difference <= limit:
        raise ScoresDiffer(way, against, difference, limit)
    return Check(against, difference, limit)


def check_way(bare: Bare, way: str) -> Check:
    """Check what is about to be timed on blocks of several lengths. Raises ScoresDiffer."""
    by_keys, by_queries = (_scores(bare, each) for each in (attention.MOVE_KEYS, REFERENCE))
    found = by_keys if way == "torch" else _scores(bare, WAYS[way])
    return agreed(way, found, by_keys, by_queries, dtype=bare.pool.geometry.dtype)


def checked_slots(num_positions: int) -> int:
    """Return the slots that a check takes in a model of so many positions."""
    return sum(_lengths(num_positions))


def _lengths(num_positions: int) -> list[int]:
    left, lengths = num_positions - _ASKED, []
    for length in (*_ENCODED, _STORED):
        lengths.append(max(0, min(length, left)))
        left -= lengths[-1]
    return [length for length in lengths if length]


def _scores(bare: Bare, way: str) -> torch.Tensor:
    pool, lengths = bare.pool, _lengths(bare.rope.num_positions)
    runs = [pool.acquire(length) for length in lengths]
    runner = ForwardRunner(bare.model, pool, bare.rope, way=way)
    try:
        view = view_of_blocks(runs, anchored=False)
        spans = [
            Span([token % bare.vocab_size for token in range(7, 7 + run.length)], 0, NOTHING, keep=run)
            for run in runs[: len(_ENCODED)]
        ]
        asked = Span([token % bare.vocab_size for token in range(5, 5 + _ASKED)], view.behind, view, wanted="all")
        return runner.run([*spans, asked])[asked].cpu()
    finally:
        runner.close()
        for run in runs:
            pool.release(run)


def _difference(one: torch.Tensor, other: torch.Tensor) -> float:
    """Return the largest difference, relative to the largest value; not a number if one of them is none."""
    return float((one - other).abs().max() / one.abs().max())
