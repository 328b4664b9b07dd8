"""What forwards have in common whose spans are as many, as long, and descend from each other alike.

Most turns are asked like the ones before them, so this is found out once. It is numbers alone: who is attended
together, as arrays (a number of bundles is then no number of steps in Python), and which rows see which.

Shapes: G groups, B bundles, T rows of the forward.
"""

from collections.abc import Hashable
from dataclasses import dataclass

import numpy

from agent_runtime.engine.gpu.work_list import Shape
from agent_runtime.engine.layout import CHUNK_ROWS, Layout, bundled, families_of
from agent_runtime.engine.runs import stretched
from agent_runtime.engine.span import View

# What a tile of keys costs that are moved as they are read, beside one of keys that are not: attention over 32 x 1,024
# tokens took 6.7 ms, and 4.6 where queries were turned, over 300 x 85 5.2 and 6.2 (H100, 50 rows). Where warps of their
# own move them, 32 layers of 32 x 1,024 take 3.1 ms.
_MOVING, _MOVING_SPECIALISED = 1.5, 1.0
# What a narrow tile costs beside a wide one: both wait for memory.
_NARROW = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class OfKind:
    """The bundles that take narrow tiles, or wide ones, by their numbers; their groups; and which of those is whose."""

    bundles: numpy.ndarray
    groups: tuple[int, ...]
    which: numpy.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """Of every bundle the number of its group, its first row, and how many it has; of every row whom it sees.

    `costs_G` is what every group's tiles of rows cost for a tile of keys that the group sees alone, `rows_G` how many
    rows it has, and `may_gain_G` whether that is more than turning its queries might cost, were a tile of keys not
    moved.
    `begins_T` is the first row that each row sees of those that are computed, `seen_to_T` the first that does not see
    it any more. Rows lie parents before children, and what descends from a span lies together: a row is seen by all
    rows from itself to the end of what descends from its span, and by no others. `span_T` is the number of its span,
    `place_T` its place in that.
    """

    costs_G: numpy.ndarray
    rows_G: numpy.ndarray
    may_gain_G: tuple[bool, ...]
    group_B: numpy.ndarray
    first_B: numpy.ndarray
    rows_B: numpy.ndarray
    kinds: tuple[OfKind, OfKind]
    begins_T: numpy.ndarray
    seen_to_T: numpy.ndarray
    span_T: numpy.ndarray
    place_T: numpy.ndarray

    @property
    def num_groups(self) -> int:
        """Return G."""
        return len(self.rows_G)


def views_of(layout: Layout) -> tuple[View, ...]:
    """Return the views of all groups, in packed order."""
    views: list[View] = []
    for span in layout.spans:
        if not views or views[-1] is not span.view:
            views.append(span.view)
    return tuple(views)


def name_of(layout: Layout) -> Hashable:
    """Return what `form_of` depends on, beside the shape: lengths, parents, and where views end."""
    spans, first_row = layout.spans, layout.first_row
    counts = tuple([len(span.ids) for span in spans])
    if len(spans) == 1:
        return counts
    parents = tuple([-1 if span.parent is None else first_row[span.parent] for span in spans])
    # What a view's length is asked for: families share a bundle while their rows are few beside it.
    lengths = [
        min(span.view.length, CHUNK_ROWS) if span.view is before.view else -1
        for before, span in zip(spans, spans[1:], strict=False)
    ]
    return counts, parents, tuple(lengths)


def form_of(layout: Layout, shape: Shape) -> Form:
    """Return the form of a forward; its bundles are those of `groups_of`, without an object for each."""
    families = families_of(layout)
    together = [bundled(view, some) for view, some in families]
    rows = [sum([len(span.ids) for span in bundle]) for bundles in together for bundle in bundles]
    rows_B = numpy.array(rows, dtype=numpy.int64)
    group_B = numpy.repeat(numpy.arange(len(together)), list(map(len, together)))
    narrow, wide, _ = shape.rows_each
    is_wide = rows_B > narrow
    moving = _MOVING_SPECIALISED if shape.tiling.wide.is_specialised else _MOVING
    costs_B = numpy.where(is_wide, -(-rows_B // wide) * moving, -(-rows_B // narrow) * (_NARROW * _MOVING))
    spans, first_row = layout.spans, layout.first_row
    counts = [len(span.ids) for span in spans]
    roots = [first_row[span] for span in spans]
    ends = [first + count for first, count in zip(roots, counts, strict=True)]
    number_of = {span: number for number, span in enumerate(spans)}
    descends = [(n, number_of[span.parent]) for n, span in enumerate(spans) if span.parent is not None]
    for child, parent in descends:
        roots[child] = roots[parent]
    for child, parent in reversed(descends):
        ends[parent] = max(ends[parent], ends[child])
    costs_G, rows_G = numpy.bincount(group_B, costs_B), numpy.bincount(group_B, rows_B).astype(numpy.int64)
    return Form(
        costs_G,
        rows_G,
        tuple((costs_G > shape.shared_tiles(rows_G)).tolist()),
        group_B,
        numpy.cumsum(rows_B) - rows_B,
        rows_B,
        (_of_kind(~is_wide, group_B), _of_kind(is_wide, group_B)),
        numpy.repeat(roots, counts),
        numpy.repeat(ends, counts).astype(numpy.int32),
        numpy.repeat(numpy.arange(len(spans)), counts),
        stretched(numpy.zeros(len(spans), dtype=numpy.int64), numpy.array(counts)),
    )


def _of_kind(is_of_kind: numpy.ndarray, group_B: numpy.ndarray) -> OfKind:
    bundles = numpy.flatnonzero(is_of_kind)
    groups, which = numpy.unique(group_B[bundles], return_inverse=True)
    return OfKind(bundles, tuple(groups.tolist()), which)
