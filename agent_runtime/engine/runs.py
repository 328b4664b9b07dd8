"""Runs of slots: where the tokens of something resident lie in a pool, in their order."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy


@dataclass(frozen=True, slots=True)
class Run:
    """The slots of consecutive tokens, in order: (start, length) extents. Two runs may share slots."""

    extents: tuple[tuple[int, int], ...]
    length: int

    def part(self, start: int, stop: int) -> "Run":
        """Return the run of tokens `start` to `stop` of this one."""
        assert 0 <= start <= stop <= self.length
        if len(self.extents) == 1 and start < stop:  # as most runs are
            return Run(((self.extents[0][0] + start, stop - start),), stop - start)
        extents, position = [], 0
        for first, length in self.extents:
            begin, end = max(start, position), min(stop, position + length)
            if begin < end:
                extents.append((first + begin - position, end - begin))
            position += length
        return Run(tuple(extents), stop - start)

    def followed_by(self, run: "Run") -> "Run":
        """Return the run of this one's tokens and behind them those of another."""
        if not self.length or not run.length:
            return self if self.length else run
        first, count = self.extents[-1]
        if first + count != run.extents[0][0]:
            return Run(self.extents + run.extents, self.length + run.length)
        joint = (first, count + run.extents[0][1])
        return Run((*self.extents[:-1], joint, *run.extents[1:]), self.length + run.length)

    def slots(self) -> numpy.ndarray:
        """Return the slot of every token, int64 [length]."""
        if not self.extents:
            return numpy.empty(0, dtype=numpy.int64)
        return numpy.concatenate([numpy.arange(first, first + n, dtype=numpy.int64) for first, n in self.extents])


EMPTY_RUN = Run((), 0)


def joined(runs: Sequence[Run]) -> Run:
    """Return the run of all tokens of `runs`, one behind the other."""
    extents: list[tuple[int, int]] = []
    for run in runs:
        for first, length in run.extents:
            if extents and sum(extents[-1]) == first:
                extents[-1] = (extents[-1][0], extents[-1][1] + length)
            else:
                extents.append((first, length))
    return Run(tuple(extents), sum(run.length for run in runs))


def stretched(firsts: numpy.ndarray, lengths: numpy.ndarray) -> numpy.ndarray:
    """Return the numbers of some stretches one behind the other: `lengths[i]` of them from `firsts[i]` on."""
    ends = numpy.cumsum(lengths)
    total = int(ends[-1]) if ends.size else 0
    return numpy.repeat(firsts - (ends - lengths), lengths) + numpy.arange(total, dtype=numpy.int64)
