"""Who is attended together, as arrays: a number of bundles is then no number of steps in Python.

Shapes: B bundles.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy

from agent_runtime.engine.gpu.work_list import Shape
from agent_runtime.engine.layout import Group
from agent_runtime.engine.span import View


@dataclass(frozen=True, slots=True)
class Bundles:
    """The views of all groups, and of every bundle the number of its group, its first row, and how many it has."""

    views: tuple[View, ...]
    group_B: numpy.ndarray
    first_B: numpy.ndarray
    rows_B: numpy.ndarray

    def is_wide(self, shape: Shape) -> numpy.ndarray:
        """Return which bundles take wide tiles, bool [B]; the others take narrow ones."""
        found: numpy.ndarray = self.rows_B > shape.rows_each[0]
        return found

    @property
    def name(self) -> tuple[object, ...]:
        """Return what two forwards have in common that attend alike, as long as what their views grew from lives."""
        return (
            *[id(view.root) for view in self.views],
            *[each.tobytes() for each in (self.group_B, self.first_B, self.rows_B)],
        )


def bundles_of(groups: Sequence[Group]) -> Bundles:
    """Return the bundles of all groups, in packed order."""
    words = [
        word
        for number, group in enumerate(groups)
        for bundle in group.bundles
        for word in (number, bundle.first, bundle.stop)
    ]
    group_B, first_B, stop_B = numpy.array(words, dtype=numpy.int64).reshape(-1, 3).T
    return Bundles(tuple(group.view for group in groups), group_B, first_B, stop_B - first_B)
