"""The work of a packed forward: who attends to what, cut so that all programs have equally much to do.

Every bundle of rows attends to the keys of its view and to itself, a tile of its rows at a time (`own_items.py`); long
runs, and what several sessions see, is attended by tiles of all their rows together (`sharing.py`, `shared_items.py`).
What one tile goes through is cut into items whatever the number of blocks. Items over the same keys stand beside each
other, so that programs that run at the same time read the same keys. Which item writes where is fixed beforehand.

A forward is planned by what is new in it. Who is attended together (`forms.py`) and all items (`items.py`) depend on
numbers alone, which most turns have in common with the one before them; what depends on a view is kept with the view,
and what sessions share is remembered as long as their views live. Where the same views are asked alike, only tokens are
new.

Shapes: T rows of the forward, W rows whose logits are wanted, G groups.
"""

from collections.abc import Sequence
from functools import partial
from itertools import chain

import numpy

from agent_runtime.engine.gpu.forms import Form, form_of, name_of, views_of
from agent_runtime.engine.gpu.items import items_of
from agent_runtime.engine.gpu.key_tiles import SHIFT_FIELDS, tiles_of
from agent_runtime.engine.gpu.remembered import Planned, Remembered
from agent_runtime.engine.gpu.work_list import Arrays, Shape
from agent_runtime.engine.layout import Layout
from agent_runtime.engine.runs import stretched
from agent_runtime.engine.span import View

_NOTHING = numpy.empty(0, dtype=numpy.int32)


def plan_work(
    layout: Layout, shape: Shape, rows_W: numpy.ndarray = _NOTHING, remembered: Remembered | None = None
) -> Arrays:
    """Plan a forward; what was `remembered` of others changes nothing but how long that takes.

    Raises IndexError for a position that the rotary table does not hold: a kernel would not.
    """
    remembered = Remembered() if remembered is None else remembered
    form = remembered.forms.of((shape, name_of(layout)), partial(form_of, layout, shape))
    views = views_of(layout)
    starts = tuple([span.start for span in layout.spans])
    make = partial(_planned, views, starts, form, shape, remembered)
    # Views that have grown are gone with the next token, and blocks are encoded once, behind nothing as a rule.
    is_grown = any([view.stem is not None for view in views])
    is_once = is_grown or any([span.keep is not None and not span.view.pieces for span in layout.spans])
    planned = make() if is_once else remembered.planned.of((form, starts), views, make)
    ids = chain.from_iterable([span.ids for span in layout.spans])
    new = {
        "ids_T": numpy.fromiter(ids, numpy.int32, layout.num_rows),
        "slots_T": _kept_at(layout),
        "rows_W": rows_W,
    }
    return Arrays(planned.items, {**planned.parts, **new})


def _planned(views: Sequence[View], starts: Sequence[int], form: Form, shape: Shape, remembered: Remembered) -> Planned:
    """Plan all that does not depend on which tokens are asked. Raises IndexError as `plan_work` does."""
    roots = [view.root for view in views]
    shared = remembered.shared(roots, form, shape)
    cut, private = (None, {}) if shared is None else (shared.cut, shared.private)
    tiles: list[numpy.ndarray] = []
    counts: list[tuple[int, ...]] = []
    for kind, tile in zip(form.kinds, shape.tiling, strict=False):
        if not kind.groups:
            counts.append(())
            continue
        tails = [() if views[group].stem is None else views[group].tail for group in kind.groups]
        found, numbers = tiles_of([private.get(group, roots[group]) for group in kind.groups], tails, tile.keys)
        tiles.append(found)
        counts.append(numbers)
    items = remembered.items.of((form, cut, *counts), lambda: items_of(form, shape, counts, tuple(private), cut))
    key_tiles = tiles[0] if len(tiles) == 1 else numpy.concatenate(tiles)
    positions_T = form.place_T + (starts[0] if len(starts) == 1 else numpy.array(starts)[form.span_T])
    shifts = _NOTHING if shared is None else shared.shifts
    for places in (positions_T, key_tiles[:, SHIFT_FIELDS], numpy.maximum(shifts, 0) if shifts.size else shifts):
        if places.size and not 0 <= int(places.min()) <= int(places.max()) < shape.num_positions:
            raise IndexError(f"positions {places.min()} to {places.max()} of {shape.num_positions}")
    return Planned(
        items,
        {
            "positions_T": positions_T,
            "key_tiles": key_tiles.ravel(),
            "runs": _NOTHING if shared is None else shared.runs,
            "shifts": shifts,
        },
    )


def _kept_at(layout: Layout) -> numpy.ndarray:
    """Return where every row is kept, -1 for nowhere, [T]; nothing where none is, as padding says that."""
    kept = [(span, span.keep) for span in layout.spans if span.keep is not None]
    if not kept:
        return _NOTHING
    words = list(chain.from_iterable(chain.from_iterable([run.extents for _, run in kept])))
    slots = stretched(*numpy.array(words, dtype=numpy.int64).reshape(-1, 2).T)
    if len(slots) == layout.num_rows:
        return slots
    found = numpy.full(layout.num_rows, -1, dtype=numpy.int32)
    firsts, counts = zip(*[(layout.first_row[span], run.length) for span, run in kept], strict=True)
    found[stretched(numpy.array(firsts), numpy.array(counts))] = slots
    return found
