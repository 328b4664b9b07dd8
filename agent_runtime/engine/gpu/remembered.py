"""What was found out for the last forwards: it changes nothing but how long planning the next one takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy

from agent_runtime.engine.gpu.forms import Form
from agent_runtime.engine.gpu.latest import Latest
from agent_runtime.engine.gpu.of_views import OfViews
from agent_runtime.engine.gpu.shared_items import SharedCut, SharedItems, shared_items
from agent_runtime.engine.gpu.sharing import may_share
from agent_runtime.engine.gpu.work_list import Items, Shape
from agent_runtime.engine.span import View

# How many forwards' shared runs are kept, and how many that were planned as a whole: those of 64 sessions over 300
# blocks take 80 kB.
_MOST_SHARED = 16
# How many forms and lists of items, 5 kB each: steps of many who decode have others now and then.
_MOST_ALIKE = 64


@dataclass(frozen=True, slots=True, eq=False)
class Planned:
    """What forwards over the same views have in common that ask alike: all but tokens, slots and wanted rows.

    `parts` are those of the work list that are not the items', by their names, and read only.
    """

    items: Items
    parts: dict[str, numpy.ndarray]


class Remembered:
    """Forms, cuts and items by the numbers that they depend on, and what was found out about the last forwards' views.

    Who shares what is known by the views that the forward's views have grown from, so that a decode step shares what
    the one before it did. That, and what was `planned`, goes as soon as one of those views goes.
    """

    def __init__(self) -> None:
        self.forms: Latest[Form] = Latest(_MOST_ALIKE)
        self.items: Latest[Items] = Latest(_MOST_ALIKE)
        self.planned: OfViews[Planned] = OfViews(_MOST_SHARED)
        self.sharing: OfViews[SharedItems | None] = OfViews(_MOST_SHARED)
        self._cuts: Latest[SharedCut] = Latest(_MOST_SHARED)

    def shared(self, roots: Sequence[View], form: Form, shape: Shape) -> SharedItems | None:
        """Return what the sessions of a forward share whose views grew from `roots`, None if that is nothing."""
        if not may_share(roots, form):
            return None
        return self.sharing.of(form, roots, partial(shared_items, roots, form, shape, self._cuts))
