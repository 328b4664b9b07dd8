"""The work of a packed forward: who attends to what, cut so that all programs have equally much to do.

Every bundle of rows attends to the keys of its view and to itself, a tile of its rows at a time (`own_items.py`); long
runs, and what several sessions see, is attended by tiles of all their rows together (`sharing.py`, `shared_items.py`).
What one tile goes through is cut into items whatever the number of blocks. Items over the same keys stand beside each
other, so that programs that run at the same time read the same keys. Which item writes where is fixed beforehand.

A step of those who decode is planned by what is new in it: what depends on a view alone is kept with the view, what
sessions share is remembered as long as their views live, and bundles are columns of arrays.

Shapes: T rows of the forward, W rows whose logits are wanted, G groups.
"""

from itertools import chain

import numpy

from agent_runtime.engine.gpu.balance import longest_first
from agent_runtime.engine.gpu.bundles import Bundles, bundles_of
from agent_runtime.engine.gpu.key_tiles import KEY_TILE_FIELDS, SHIFT_FIELDS, tiles_of
from agent_runtime.engine.gpu.own_items import Shown, own_items
from agent_runtime.engine.gpu.shared_items import Remembered, SharedItems, shared_items
from agent_runtime.engine.gpu.work_list import ITEM_FIELDS, MERGE_FIELDS, Arrays, Shape
from agent_runtime.engine.layout import Layout
from agent_runtime.engine.span import stretched

_NOTHING = numpy.empty(0, dtype=numpy.int64)
_NO_ITEMS = numpy.empty((0, ITEM_FIELDS), dtype=numpy.int64)


def plan_work(
    layout: Layout, shape: Shape, rows_W: numpy.ndarray = _NOTHING, remembered: Remembered | None = None
) -> Arrays:
    """Plan a forward; what was `remembered` of others changes nothing but how long that takes.

    Raises IndexError for a position that the rotary table does not hold: a kernel would not.
    """
    bundles = bundles_of(layout)
    shared = shared_items(bundles, shape) if remembered is None else remembered.of(bundles, shape)
    rows = _Rows(layout)
    merges = numpy.zeros((layout.num_rows, MERGE_FIELDS), dtype=numpy.int64)
    items, lengths = [_NO_ITEMS] * 3, [_NOTHING] * 3
    key_tiles = [numpy.empty((0, KEY_TILE_FIELDS), dtype=numpy.int64)]
    num_parts = num_key_tiles = 0
    is_wide = bundles.is_wide(shape)
    for kind, of_kind in enumerate((numpy.flatnonzero(~is_wide), numpy.flatnonzero(is_wide))):
        if not of_kind.size:
            continue
        shown, tiles = _shown(bundles, of_kind, shared, shape.tiling[kind].keys, num_key_tiles)
        own = own_items(shown, kind, shape, rows.begins_T, merges, num_parts)
        items[kind], lengths[kind] = own.items, own.lengths
        key_tiles.append(tiles)
        num_key_tiles += len(tiles)
        num_parts += own.num_parts
    runs = shifts = shared_rows = _NOTHING
    if shared is not None:
        runs, shifts, shared_rows = shared.runs, shared.shifts, shared.rows.ravel()
        items[2], lengths[2] = shared.items_from(num_parts), shared.lengths
        shared.merge_from(num_parts, merges)
        num_parts += shared.num_parts
    listed = numpy.concatenate(key_tiles)
    for places in (rows.positions_T, listed[:, SHIFT_FIELDS], numpy.maximum(shifts, 0)):
        if places.size and not 0 <= int(places.min()) <= int(places.max()) < shape.num_positions:
            raise IndexError(f"positions {places.min()} to {places.max()} of {shape.num_positions}")
    narrow, wide, of_shared = (some[longest_first(each)].ravel() for some, each in zip(items, lengths, strict=True))
    return Arrays(
        {
            "ids_T": rows.ids_T,
            "positions_T": rows.positions_T,
            "slots_T": rows.slots_T,
            "seen_to_T": rows.seen_to_T,
            "merges_T": merges.ravel(),
            "rows_W": rows_W,
            "narrow": narrow,
            "wide": wide,
            "shared": of_shared,
            "key_tiles": listed.ravel(),
            "shared_rows": shared_rows,
            "runs": runs,
            "shifts": shifts,
        },
        (len(items[0]), len(items[1]), len(items[2])),
        num_parts,
    )


def _shown(
    bundles: Bundles, of_kind: numpy.ndarray, shared: SharedItems | None, most_keys: int, first_tile: int
) -> tuple[Shown, numpy.ndarray]:
    """Return some bundles with what they see alone, and the tiles of that, listed from `first_tile` on.

    Each group's tiles are listed once.
    """
    group_B = bundles.group_B[of_kind]
    is_new = numpy.append(True, group_B[1:] != group_B[:-1])
    groups = group_B[is_new].tolist()
    views = [bundles.views[number] for number in groups]
    roots = [view.root for view in views]
    is_sharing_G = numpy.zeros(len(bundles.views), dtype=bool)
    if shared is not None:
        roots = [shared.private.get(number, root) for number, root in zip(groups, roots, strict=True)]
        is_sharing_G[list(shared.private)] = True
    tails = [() if view.stem is None else view.tail for view in views]
    tiles, counts = tiles_of(roots, tails, most_keys)
    which = numpy.cumsum(is_new) - 1
    first_shown = first_tile + numpy.cumsum(counts) - counts
    shown = Shown(
        bundles.first_B[of_kind],
        bundles.rows_B[of_kind],
        first_shown[which],
        counts[which],
        is_sharing_G[group_B],
    )
    return shown, tiles


class _Rows:
    """What is to be said of every row: its token, its position, where it is kept (-1: nowhere), and who sees it.

    `begins_T` is the first row that each row sees of those that are computed, `seen_to_T` the first that does not see
    it any more. Rows lie parents before children, and what descends from a span lies together: a row is seen by all
    rows from itself to the end of what descends from its span, and by no others.
    """

    def __init__(self, layout: Layout) -> None:
        spans, first_row = layout.spans, layout.first_row
        counts = [len(span.ids) for span in spans]
        firsts = [first_row[span] for span in spans]
        self.ids_T = numpy.fromiter(chain.from_iterable(span.ids for span in spans), numpy.int64, layout.num_rows)
        self.positions_T = stretched(numpy.array([span.start for span in spans]), numpy.array(counts))
        self.slots_T = _kept_at(layout)
        roots, ends = list(firsts), [first + count for first, count in zip(firsts, counts, strict=True)]
        children = [number for number, span in enumerate(spans) if span.parent is not None]
        if children:
            number_of = {id(span): number for number, span in enumerate(spans)}
            parents = [number_of[id(spans[child].parent)] for child in children]
            for child, parent in zip(children, parents, strict=True):
                roots[child] = roots[parent]
            for child, parent in zip(reversed(children), reversed(parents), strict=True):
                ends[parent] = max(ends[parent], ends[child])
        self.begins_T = numpy.repeat(roots, counts)
        self.seen_to_T = numpy.repeat(ends, counts)


def _kept_at(layout: Layout) -> numpy.ndarray:
    found = numpy.full(layout.num_rows, -1, dtype=numpy.int64)
    kept = [(layout.first_row[span], span.keep) for span in layout.spans if span.keep is not None]
    if kept:
        extents = numpy.array([extent for _, run in kept for extent in run.extents], dtype=numpy.int64).reshape(-1, 2)
        rows = stretched(numpy.array([first for first, _ in kept]), numpy.array([run.length for _, run in kept]))
        found[rows] = stretched(extents[:, 0], extents[:, 1])
    return found
