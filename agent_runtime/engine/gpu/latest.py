"""The last answers to questions that come again, turn after turn."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Latest(Generic[T]):
    """Answers by what they depend on, as many as were asked for last.

    A name is made of numbers, or of objects that hold nothing but numbers: it lives as long as its answer.
    """

    def __init__(self, most_kept: int) -> None:
        self._most_kept = most_kept
        self._kept: OrderedDict[Hashable, T] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def of(self, name: Hashable, make: Callable[[], T]) -> T:
        """Return the answer called `name`, which `make` finds if it is not kept."""
        found = self._kept.get(name)
        if found is None:
            found = self._kept[name] = make()
            if len(self._kept) > self._most_kept:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(name)
        return found
