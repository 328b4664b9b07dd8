"""Forwards of every kind of work, by a graph and by the same kernels called one by one on the same buffers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy
import torch

from agent_runtime.engine.gpu.forward import KernelForward
from agent_runtime.engine.layout import lay_out
from agent_runtime.engine.runs import Run
from agent_runtime.engine.span import NOTHING, Span
from tests.agent_runtime.engine.worlds import World, encode, random_ids, view_of

Spans = list[Span]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large forwards are, and how often each is run: the first time a graph is captured, then it is replayed."""

    blocks: int
    tokens: int
    rows: int
    sessions: int
    times: int


def assert_alike(w: World, make: Callable[[bool], KernelForward], sizes: Sizes) -> int:
    """Run every kind of forward both ways, and return how many kinds there were.

    `make` makes a forward, by graphs or not. Both write the same slots, so that what is kept is compared too.
    """
    rng = numpy.random.default_rng(2)
    lengths = rng.integers(1, sizes.tokens + 1, size=sizes.blocks)
    runs, spans = encode(w, [random_ids(rng, int(length)) for length in lengths])
    w.runner.run(spans)
    one, other = make(True), make(False)
    count = 0
    for asked, kept in _kinds(w, runs, rng, sizes):
        count += 1
        for _ in range(sizes.times):
            layout = lay_out(asked)
            wanted = [layout.first_row[span] + row for span in asked if span.wanted == "all" for row in _rows(span)]
            rows_W = numpy.array(wanted, dtype=numpy.int64)
            found = []
            for way in (one, other):
                logits = way.run(layout, rows_W)
                found.append((logits, *(w.pool.read(run)[name] for run in kept for name in ("k", "v"))))
            assert len(found[0][0]) == len(wanted) and bool(found[0][0].isfinite().all())
            for mine, theirs in zip(*found, strict=True):
                assert torch.equal(mine, theirs), f"kind {count}"
    return count


def _kinds(w: World, runs: list[Run], rng: numpy.random.Generator, sizes: Sizes) -> Iterator[tuple[Spans, list[Run]]]:
    view = view_of(runs)
    for length in (1, 7, sizes.rows):
        yield [Span(random_ids(rng, length), view.length, view, wanted="all")], []
    # New blocks, an observation that sees them, and answers behind it.
    fresh = [w.pool.acquire(length) for length in (sizes.tokens, 1)]
    encoded = [Span(random_ids(rng, run.length), 0, NOTHING, keep=run, wanted="none") for run in fresh]
    seen = view_of([*runs, *fresh])
    observation = Span(random_ids(rng, 9), seen.length, seen, wanted="all")
    answers = [
        Span(random_ids(rng, length), seen.length + 9, seen, parent=observation, wanted="all") for length in (1, 3)
    ]
    yield [*encoded, observation, *answers], fresh
    # Blocks alone, whose logits nobody wants.
    yield encoded, fresh
    # Many sessions over one world, each in an order of its own: it is read once for all of them.
    views = [view_of([runs[int(number)] for number in rng.permutation(len(runs))]) for _ in range(sizes.sessions)]
    yield [Span(random_ids(rng, 1), each.length, each, wanted="all") for each in views], []


def _rows(span: Span) -> range:
    return range(len(span.ids))
