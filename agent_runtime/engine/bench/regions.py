"""A world whose regions many sessions see, each in an order of its own."""

import random
from collections.abc import Sequence

from agent_runtime.engine.bench.geometry import Bare
from agent_runtime.engine.runs import Run
from agent_runtime.engine.span import NOTHING, Span


class Regions:
    """The runs of a world's regions in the pool; `close` gives them back. What stands there is random, or encoded."""

    def __init__(self, bare: Bare, num_regions: int, region_tokens: int, *, seed: int = 1) -> None:
        self._pool, self._vocab_size = bare.pool, bare.vocab_size
        self._random = random.Random(seed)
        self.runs = [bare.pool.acquire(region_tokens) for _ in range(num_regions)]

    def order(self) -> list[Run]:
        """Return all regions in an order that nobody else has."""
        return self._random.sample(self.runs, len(self.runs))

    def swap(self, order: list[Run], num_seen: int) -> None:
        """Have one of the first `num_seen` regions of an order give way to one behind them, if there is one."""
        if len(order) > num_seen:
            place, other = self._random.randrange(num_seen), self._random.randrange(num_seen, len(order))
            order[place], order[other] = order[other], order[place]

    def shuffled(self, count: int) -> list[int]:
        """Return the numbers below `count` in any order."""
        return self._random.sample(range(count), count)

    def ids(self, count: int) -> list[int]:
        """Return tokens that were not there before."""
        return self._random.choices(range(self._vocab_size), k=count)

    def encoding(self, runs: Sequence[Run]) -> list[Span]:
        """Return what fills runs with blocks of new tokens."""
        return [Span(self.ids(run.length), 0, NOTHING, keep=run) for run in runs]

    def close(self) -> None:
        """Give all slots back."""
        for run in self.runs:
            self._pool.release(run)
