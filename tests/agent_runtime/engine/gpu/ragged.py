"""Random ragged shapes for one layer's attention: what the kernels may meet, drawn from a number."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch

from agent_runtime.engine.layout import Layout, lay_out
from agent_runtime.engine.runs import Run
from agent_runtime.engine.span import Placed, Span, View
from tests.agent_runtime.engine.gpu.layers import Layer, error_of

LARGEST = {torch.float32: 2e-6, torch.float16: 1e-3, torch.bfloat16: 5e-3}
"""The largest relative error of any shape."""
HEADS = ((4, 2, 64), (6, 2, 96), (8, 1, 128), (3, 3, 64))
"""Query heads, key heads, and numbers of a head."""
KINDS = ("any", "one-token blocks", "far", "sessions", "one block", "most blocks", "answers")
FAR = 100_000


@dataclass(frozen=True, slots=True)
class Scale:
    """How large shapes are at most: blocks, tokens of a block and of all together, rows, sessions, and positions."""

    blocks: int
    tokens: int
    keys: int
    rows: int
    sessions: int
    positions: int


@dataclass(frozen=True, slots=True)
class Errors:
    """What the kernels and torch's own attention are off by from float64, relative to the whole, by shape."""

    ours: list[float]
    theirs: list[float]

    @property
    def ratio(self) -> float:
        """Return how many times torch's mean error ours is."""
        return sum(self.ours) / sum(self.theirs)


def errors_of(numbers: Sequence[int], dtype: torch.dtype, scale: Scale) -> Errors:
    """Attend the shapes of some numbers by the kernels, by torch and in float64."""
    found = Errors([], [])
    for number in numbers:
        layer = _layer(HEADS[number % len(HEADS)], dtype, scale)
        rng = random.Random(number)
        runs: list[Run] = []
        layout = shape_of(KINDS[number % len(KINDS)], layer, scale, rng, runs)
        rows = layer.rows(layout)
        exact = layer.exact(layout, rows)
        found.ours.append(error_of(layer.attend(layout, rows, rng.choice((1, 8, 132))), exact))
        found.theirs.append(error_of(layer.by_torch(layout, rows), exact))
        for run in runs:
            layer.pool.release(run)
    return found


def shape_of(kind: str, layer: Layer, scale: Scale, rng: random.Random, runs: list[Run]) -> Layout:
    """Return a forward of one kind; `runs` are what it has taken of the pool."""
    lengths = _lengths(kind, scale, rng)
    runs += layer.blocks(lengths)
    shown = [_torn(run, rng) for run in runs]
    spans: list[Span] = []
    for _ in range(rng.randint(2, scale.sessions) if kind == "sessions" else 1):
        order = rng.sample(shown, len(shown)) if kind == "sessions" else shown
        view = _placed(order, _offset(kind, sum(lengths), scale, rng))
        observation = Span([0] * _log_uniform(rng, 1, scale.rows), view.behind, view)
        spans.append(observation)
        for _ in range(rng.randint(2, 9) if kind == "answers" else rng.choice((0, 0, 1))):
            spans.append(Span([0] * rng.randint(1, 4), view.behind + len(observation.ids), view, parent=observation))
    return lay_out(spans)


def _lengths(kind: str, scale: Scale, rng: random.Random) -> list[int]:
    """Return how long blocks are, some of them empty, all together as many tokens as there may be."""
    if kind == "one block":
        return [_log_uniform(rng, 1, scale.tokens)]
    count = scale.blocks if kind == "most blocks" else _log_uniform(rng, 1, scale.blocks)
    if kind == "one-token blocks":
        return [1] * count
    lengths, left = [], scale.keys
    for number in range(count):
        most = min(scale.tokens, left - (count - number - 1))
        lengths.append(_log_uniform(rng, 1, most) if rng.random() < 0.95 else 0)
        left -= lengths[-1]
    return lengths


def _offset(kind: str, length: int, scale: Scale, rng: random.Random) -> int:
    """Return where a prompt begins; rows and answers behind it still have positions."""
    most = scale.positions - length - scale.rows - 8
    return rng.randint(min(FAR, most), most) if kind == "far" else rng.choice((0, rng.randint(0, most)))


def _placed(order: Sequence[Run], place: int) -> View:
    pieces = []
    for run in order:
        pieces.append(Placed(run, place))
        place += run.length
    return View(tuple(pieces), place)


def _torn(run: Run, rng: random.Random) -> Run:
    """Return a run, or the same slots in two pieces the other way round, as a pool gives them where little is free."""
    if run.length < 2 or rng.random() < 0.8:
        return run
    cut = rng.randint(1, run.length - 1)
    return Run((*run.part(cut, run.length).extents, *run.part(0, cut).extents), run.length)


def _log_uniform(rng: random.Random, least: int, most: int) -> int:
    return max(least, min(most, round(least * (most / least) ** rng.random())))


@lru_cache(maxsize=len(HEADS))
def _layer(heads: tuple[int, int, int], dtype: torch.dtype, scale: Scale) -> Layer:
    return Layer.of(*heads, dtype, num_slots=scale.keys + scale.tokens, num_positions=scale.positions)
