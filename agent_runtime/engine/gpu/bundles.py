"""Who is attended together, as arrays: a number of bundles is then no number of steps in Python.

Shapes: B bundles.
"""

from dataclasses import dataclass

import numpy

from agent_runtime.engine.gpu.work_list import Shape
from agent_runtime.engine.layout import Layout, bundled, families_of
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


def bundles_of(layout: Layout) -> Bundles:
    """Return the bundles of a forward, in packed order: those of `groups_of`, without an object for each."""
    families = families_of(layout)
    together = [bundled(view, some) for view, some in families]
    rows = [sum([len(span.ids) for span in bundle]) for bundles in together for bundle in bundles]
    rows_B = numpy.array(rows, dtype=numpy.int64)
    return Bundles(
        tuple([view for view, _ in families]),
        numpy.repeat(numpy.arange(len(together)), list(map(len, together))),
        numpy.cumsum(rows_B) - rows_B,
        rows_B,
    )
