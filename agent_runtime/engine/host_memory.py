"""Memory of the host for blocks that have left a pool: pinned for a GPU, taken from the machine as it is needed.

A GPU copies from and to pinned memory beside everything else; from ordinary memory it makes the host wait. Pinning
is slow, and what is pinned no other program gets: so memory comes in slabs, each when all before it are full. What lies
in it is cut into as many pieces as there are holes: none is ever too small, so the budget is what fits. Any thread, one
at a time: the owner holds a lock.
"""

import logging
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy
import torch

from agent_runtime.engine.errors import HostBooksError, HostMemoryShort, first_line
from agent_runtime.engine.extents import FreeExtents

_log = logging.getLogger(__name__)

# Memory is given out in these, so that numbers of every dtype begin where they may.
UNIT_BYTES = 4096
_SLAB_BYTES = 64 * 2**20

Take = Callable[[int], torch.Tensor]


def pinned(num_bytes: int) -> torch.Tensor:
    """Return page-locked memory, uint8. Raises RuntimeError where the driver gives none."""
    return torch.empty(num_bytes, dtype=torch.uint8, pin_memory=True)


def plain(num_bytes: int) -> torch.Tensor:
    """Return ordinary memory, uint8. Raises RuntimeError where the machine gives none."""
    return torch.empty(num_bytes, dtype=torch.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """Where some bytes lie: (unit, number of units) in order, of which the last unit need not be full."""

    extents: tuple[tuple[int, int], ...]
    num_bytes: int


class HostMemory:
    """Owner of at most `budget_bytes`. `acquire` / `release` are its only verbs; `check` reconciles its books.

    `ways` are how memory is had, the best first. One that fails is told once and never tried again: then comes the
    next, and behind the last the memory stays as large as it is. No more is taken as long as `may_take` so many bytes
    says no.
    """

    def __init__(
        self,
        budget_bytes: int,
        ways: Sequence[Take],
        *,
        slab_bytes: int = _SLAB_BYTES,
        may_take: Callable[[int], bool] = lambda num_bytes: True,
    ) -> None:
        self._ways = list(ways)
        self._may_take = may_take
        self._num_left = budget_bytes // UNIT_BYTES
        self._slab_units = max(slab_bytes // UNIT_BYTES, 1)
        self._firsts: list[int] = []
        self._slabs: list[torch.Tensor] = []
        self._free = FreeExtents()

    @property
    def held_bytes(self) -> int:
        """Return what was taken from the machine so far."""
        return sum(slab.numel() for slab in self._slabs)

    @property
    def most_bytes(self) -> int:
        """Return what can be had at all, as far as is known."""
        return self.held_bytes + (self._num_left * UNIT_BYTES if self._ways else 0)

    @property
    def is_pinned(self) -> bool:
        """Whether all that was taken so far is pinned."""
        return bool(self._slabs) and all(slab.is_pinned() for slab in self._slabs)

    def acquire(self, num_bytes: int) -> Pieces | None:
        """Return room for `num_bytes`, or None (and take nothing) where there is too little."""
        num_units = -(-num_bytes // UNIT_BYTES)
        while self._free.num_free < num_units:
            if not self._grow():
                return None
        return Pieces(tuple(self._free.take(num_units)), num_bytes)

    def release(self, pieces: Pieces) -> None:
        """Give room back. Nobody reads or writes there any more, no device either."""
        for first, count in pieces.extents:
            self._free.put_back(first, count)

    def tensors(self, pieces: Pieces, dtype: torch.dtype) -> list[torch.Tensor]:
        """Return the memory of `pieces`, in order: [n] each, of `dtype`."""
        found, left = [], pieces.num_bytes
        for first, count in pieces.extents:
            number = bisect_right(self._firsts, first) - 1
            begin = (first - self._firsts[number]) * UNIT_BYTES
            size = min(count * UNIT_BYTES, left)
            found.append(self._slabs[number][begin : begin + size].view(dtype))
            left -= size
        return found

    def check(self, holders: Iterable[Pieces]) -> None:
        """Raise HostBooksError unless every unit is free or held once."""
        ends = [first + slab.numel() // UNIT_BYTES for first, slab in zip(self._firsts, self._slabs, strict=True)]
        expected, found = (numpy.zeros(max(ends, default=0), dtype=numpy.int32) for _ in range(2))
        for first, end in zip(self._firsts, ends, strict=True):
            expected[first:end] = 1
        for first, count in [*self._free, *(extent for pieces in holders for extent in pieces.extents)]:
            found[first : first + count] += 1
        wrong = numpy.flatnonzero(expected != found)
        if wrong.size:
            raise HostBooksError(int(wrong[0]), int(wrong.size))

    def _grow(self) -> bool:
        """Take one more slab from the machine; False when there is none to be had."""
        num_units = min(self._slab_units, self._num_left)
        if not num_units or not self._may_take(num_units * UNIT_BYTES):
            return False
        while self._ways:
            try:
                slab = self._ways[0](num_units * UNIT_BYTES)
            except (RuntimeError, MemoryError) as error:
                failed = self._ways.pop(0)
                short = HostMemoryShort(
                    num_units * UNIT_BYTES, self.held_bytes, failed is pinned, bool(self._ways), first_line(error)
                )
                _log.warning("%s", short)
                continue
            # Numbers of two slabs are never neighbours, so no stretch reaches over both.
            first = self._firsts[-1] + self._slabs[-1].numel() // UNIT_BYTES + 1 if self._slabs else 0
            self._firsts.append(first)
            self._slabs.append(slab)
            self._free.put_back(first, num_units)
            self._num_left -= num_units
            return True
        return False
