"""The last answers to questions about views, which go as soon as one of those views goes."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar
from weakref import ref

from agent_runtime.engine.span import View

T = TypeVar("T")


class OfViews(Generic[T]):
    """Answers by views, the very objects, and what else they depend on: as many as were asked for last.

    They keep no view alive. What else names an answer lives as long as that does.
    """

    def __init__(self, most_kept: int) -> None:
        self._most_kept = most_kept
        self._kept: OrderedDict[Hashable, tuple[list[ref[View]], T]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def of(self, named: Hashable, views: Sequence[View], make: Callable[[], T]) -> T:
        """Return the answer for `views` that is `named`, which `make` finds if it is not kept."""
        name = (named, *map(id, views))
        found = self._kept.get(name)
        if found is not None:
            self._kept.move_to_end(name)
            return found[1]
        made, kept = make(), self._kept

        def forget(_: "ref[View]") -> None:
            kept.pop(name, None)

        kept[name] = [ref(view, forget) for view in views], made
        if len(kept) > self._most_kept:
            kept.popitem(last=False)
        return made
