"""Which row of a packed forward is which token, and who attends to what.

Families are a span and what descends from it; families share a bundle where that costs less than it gains.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy

from agent_runtime.engine.span import Span, View

# Rows of a long causal chain are attended in pieces of this many, so that little of the masked corner is computed.
CHUNK_ROWS = 256


@dataclass(frozen=True, slots=True)
class Bundle:
    """The rows `first` to `stop` of some spans, whose keys are their view and themselves."""

    first: int
    stop: int
    spans: tuple[Span, ...]

    @property
    def num_rows(self) -> int:
        """Return how many rows it has."""
        return self.stop - self.first


@dataclass(frozen=True, slots=True)
class Group:
    """All rows with the same view."""

    view: View
    bundles: tuple[Bundle, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """Spans in packed order with the rows they take."""

    spans: tuple[Span, ...]
    first_row: dict[Span, int]
    num_rows: int


def lay_out(spans: Sequence[Span]) -> Layout:
    """Order spans so that those of one view lie together, within it those of one root, and what descends from a span.

    A parent comes before its children.
    """
    if len(spans) == 1:
        [span] = spans
        assert span.parent is None, "a parent is computed with its children"
        return Layout((span,), {span: 0}, len(span.ids))
    assert len(set(map(id, spans))) == len(spans), "a span was asked for twice"
    by_view: dict[int, list[Span]] = {}
    for span in spans:
        assert span.parent is None or span.parent.view is span.view, "a child sees what its parent sees"
        by_view.setdefault(id(span.view), []).append(span)
    ordered: list[Span] = []
    for seeing in by_view.values():
        for family in _families(seeing):
            ordered.extend(family if len(family) == 1 else _descending(family))
    first_row, row = {}, 0
    for span in ordered:
        assert span.parent is None or span.parent in first_row, "a parent is computed with its children"
        first_row[span] = row
        row += len(span.ids)
    return Layout(tuple(ordered), first_row, row)


def _families(spans: Sequence[Span]) -> Iterable[Sequence[Span]]:
    """Return the spans of each root."""
    if len(spans) == 1:
        return (spans,)
    by_root: dict[int, list[Span]] = {}
    for span in spans:
        root = span
        while root.parent is not None:
            root = root.parent
        by_root.setdefault(id(root), []).append(span)
    return by_root.values()


def _descending(family: Sequence[Span]) -> Sequence[Span]:
    """Return one root's spans, each with all that descends from it behind it; where there is a choice, as they came."""
    children: dict[Span, list[Span]] = {}
    for span in family:
        if span.parent is not None:
            children.setdefault(span.parent, []).append(span)
    left = [span for span in family if span.parent is None]
    ordered: list[Span] = []
    while left:
        ordered.append(left.pop())
        left.extend(reversed(children.get(ordered[-1], ())))
    assert len(ordered) == len(family), "a parent is computed with its children"
    return ordered


def visible(spans: Sequence[Span], layout: Layout, from_row: int = 0) -> numpy.ndarray:
    """Return which rows of a bundle its rows from `from_row` (where a span begins) on see, bool [rows, all rows]."""
    first = layout.first_row[spans[0]]
    num_rows = layout.first_row[spans[-1]] + len(spans[-1].ids) - first
    sees = numpy.zeros((num_rows - from_row, num_rows), dtype=bool)
    for span in spans:
        begin = layout.first_row[span] - first
        end = begin + len(span.ids)
        if begin < from_row:
            continue
        own = sees[begin - from_row : end - from_row]
        if span.parent is not None:
            last = layout.first_row[span.parent] - first + len(span.parent.ids) - 1
            own[:] = sees[last - from_row] if last >= from_row else numpy.arange(num_rows) <= last
        own[:, begin:end] |= numpy.tri(end - begin, dtype=bool)
    return sees


def groups_of(layout: Layout) -> tuple[Group, ...]:
    """Return who is attended together, in packed order."""
    return tuple(
        Group(view, tuple(_bundle(spans, layout) for spans in bundled(view, families)))
        for view, families in families_of(layout)
    )


def _bundle(spans: Sequence[Span], layout: Layout) -> Bundle:
    return Bundle(layout.first_row[spans[0]], layout.first_row[spans[-1]] + len(spans[-1].ids), tuple(spans))


def families_of(layout: Layout) -> list[tuple[View, list[list[Span]]]]:
    """Return the families of every view, in packed order."""
    groups: list[tuple[View, list[list[Span]]]] = []
    for span in layout.spans:
        if not groups or groups[-1][0] is not span.view:
            groups.append((span.view, []))
        if span.parent is None:
            groups[-1][1].append([span])
        else:
            groups[-1][1][-1].append(span)
    return groups


def bundled(view: View, families: list[list[Span]]) -> list[list[Span]]:
    """Families share one call while the rows that do not see each other stay few beside the view they share."""
    if len(families) == 1:
        return families
    view_length = view.length
    bundles: list[list[Span]] = []
    num_rows = 0
    for family in families:
        rows = sum(len(span.ids) for span in family)
        if bundles and num_rows + rows <= min(view_length, CHUNK_ROWS):
            bundles[-1].extend(family)
            num_rows += rows
        else:
            bundles.append(list(family))
            num_rows = rows
    return bundles
