"""What was found out for the last forwards: it changes nothing but how long planning the next one takes."""

from collections import OrderedDict
from collections.abc import Sequence
from weakref import ref

from agent_runtime.engine.gpu.forms import Form
from agent_runtime.engine.gpu.latest import Latest
from agent_runtime.engine.gpu.shared_items import SharedCut, SharedItems, shared_items
from agent_runtime.engine.gpu.sharing import may_share
from agent_runtime.engine.gpu.work_list import Items, Shape
from agent_runtime.engine.span import View

# How many forwards' shared runs are kept: those of 64 sessions over 300 blocks take 80 kB.
_MOST_SHARED = 16
# How many forms and lists of items, 5 kB each: steps of many who decode have others now and then.
_MOST_ALIKE = 64


class Remembered:
    """Forms, cuts and items by the numbers that they depend on, and what sessions shared in the last forwards.

    Who shares what is known by the views that the forward's views have grown from, so that a decode step shares what
    the one before it did. It goes as soon as one of those views goes.
    """

    def __init__(self) -> None:
        self.forms: Latest[Form] = Latest(_MOST_ALIKE)
        self.items: Latest[Items] = Latest(_MOST_ALIKE)
        self._cuts: Latest[SharedCut] = Latest(_MOST_SHARED)
        self._kept: OrderedDict[object, tuple[Form, list[ref[View]], SharedItems | None]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def shared(self, roots: Sequence[View], form: Form, shape: Shape) -> SharedItems | None:
        """Return what the sessions of a forward share whose views grew from `roots`, None if that is nothing."""
        if not may_share(roots, form, shape):
            return None
        name = (id(form), *map(id, roots))
        if name in self._kept:
            self._kept.move_to_end(name)
            return self._kept[name][-1]
        items = shared_items(roots, form, shape, self._cuts)
        kept = self._kept

        def forget(_: "ref[View]") -> None:
            kept.pop(name, None)

        self._kept[name] = (form, [ref(root, forget) for root in roots], items)
        if len(self._kept) > _MOST_SHARED:
            self._kept.popitem(last=False)
        return items
