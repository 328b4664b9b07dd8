"""Which numbers of a line are free, in stretches: what a pool's slots and a host's memory are given out by."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator


class FreeExtents:
    """Free (start, length) stretches in order, neighbours merged. `take` and `put_back` are its only verbs."""

    def __init__(self, free: Iterable[tuple[int, int]] = ()) -> None:
        self._free = sorted((first, count) for first, count in free if count)
        self.num_free = sum(count for _, count in self._free)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(self._free)

    def take(self, length: int) -> list[tuple[int, int]]:
        """Return `length` numbers (at most `num_free`): the smallest stretch that holds them all, else the largest."""
        assert 0 <= length <= self.num_free, "more was taken than is free"
        self.num_free -= length
        fitting = [(count, index) for index, (_, count) in enumerate(self._free) if count >= length > 0]
        if fitting:
            _, index = min(fitting)
            return [self._cut(index, length)]
        taken = []
        while length:
            count, index = max((count, index) for index, (_, count) in enumerate(self._free))
            taken.append(self._cut(index, min(count, length)))
            length -= taken[-1][1]
        return sorted(taken)

    def _cut(self, index: int, length: int) -> tuple[int, int]:
        first, count = self._free[index]
        self._free[index : index + 1] = [(first + length, count - length)] if count > length else []
        return first, length

    def put_back(self, first: int, count: int) -> None:
        """Say that a stretch is free (again)."""
        self.num_free += count
        index = bisect_left(self._free, (first, 0))
        if index < len(self._free) and first + count == self._free[index][0]:
            count += self._free.pop(index)[1]
        if index > 0 and sum(self._free[index - 1]) == first:
            first, before = self._free[index - 1][0], self._free[index - 1][1]
            self._free[index - 1] = (first, before + count)
        else:
            self._free.insert(index, (first, count))
