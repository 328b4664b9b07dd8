"""All items of a forward and what is merged of its rows: what a work list says that is numbers alone.

Which runs, which positions and which slots is said elsewhere in the list; turns that are asked alike over as many tiles
of keys have the same items.
"""

from collections.abc import Sequence

import numpy

from agent_runtime.engine.gpu.balance import longest_first
from agent_runtime.engine.gpu.forms import Form
from agent_runtime.engine.gpu.own_items import Shown, own_items
from agent_runtime.engine.gpu.shared_items import SharedCut
from agent_runtime.engine.gpu.work_list import ITEM_FIELDS, MERGE_FIELDS, Items, Shape

_NOTHING = numpy.empty(0, dtype=numpy.int64)
_NO_ITEMS = numpy.empty((0, ITEM_FIELDS), dtype=numpy.int64)


def items_of(
    form: Form, shape: Shape, shown: Sequence[Sequence[int]], sharing: Sequence[int], shared: SharedCut | None
) -> Items:
    """Return the items of a forward.

    `shown` are the numbers of tiles that the groups with narrow bundles are shown, each group's tiles listed once, and
    behind them those of the groups with wide ones. `sharing` are the groups that share something.
    """
    items, lengths = [_NO_ITEMS] * 3, [_NOTHING] * 3
    merges = numpy.zeros((len(form.begins_T), MERGE_FIELDS), dtype=numpy.int64)
    is_sharing_G = numpy.zeros(form.num_groups, dtype=bool)
    is_sharing_G[list(sharing)] = True
    num_parts = num_tiles = 0
    for number, (kind, counts) in enumerate(zip(form.kinds, shown, strict=True)):
        if not counts:
            continue
        shown_G = numpy.array(counts, dtype=numpy.int64)
        first_G = num_tiles + numpy.cumsum(shown_G) - shown_G
        each = Shown(
            form.first_B[kind.bundles],
            form.rows_B[kind.bundles],
            first_G[kind.which],
            shown_G[kind.which],
            is_sharing_G[form.group_B[kind.bundles]],
        )
        own = own_items(each, number, shape, form.begins_T, merges, num_parts)
        items[number], lengths[number] = own.items, own.lengths
        num_tiles += sum(counts)
        num_parts += own.num_parts
    if shared is not None:
        items[2], lengths[2] = shared.items.copy(), shared.lengths
        items[2][:, 4] += num_parts
        at = shared.rows[:, 0]
        merges[at, 3:6] = shared.merges
        merges[at, 3] += num_parts
        num_parts += shared.num_parts
    ordered = [some[longest_first(each)] for some, each in zip(items, lengths, strict=True)]
    rows = _NOTHING if shared is None else shared.rows
    listed = dict(zip(("narrow", "wide", "shared", "shared_rows", "merges_T"), (*ordered, rows, merges), strict=True))
    return Items(
        {"seen_to_T": form.seen_to_T, **{name: some.ravel().astype(numpy.int32) for name, some in listed.items()}},
        (len(items[0]), len(items[1]), len(items[2])),
        num_parts,
    )
