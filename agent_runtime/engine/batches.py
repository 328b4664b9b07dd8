"""Small attention problems side by side in one call: short observations of many sessions, each behind its own blocks.

Alone each costs more calls than arithmetic, most of them to gather its keys: sixteen turns of ten rows in one forward
took 253 ms with a call for each, and 212 with one for all. They are padded to one size, as long as that does not cost
much more than they do. (Blocks that are encoded gather nothing, and gained nothing.)

Shapes: B problems, Q rows of the largest, K keys of the largest, P = B x K places, M places behind the views.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy
import torch

from agent_runtime.engine.gathered import Gathered, GatheredViews
from agent_runtime.engine.layout import Bundle, Group, Layout, visible
from agent_runtime.engine.rope import RotaryTable, Rotation

# A problem of more scores is worth a call of its own.
_MOST_SCORES = 2**15
# What padding may cost, and how many keys of a batch are gathered at once.
_MOST_PADDING, _MOST_KEYS = 1.5, 2**14
# Places of a problem are a multiple of this, so that an observation that is a little longer finds its views gathered.
_PLACES = 16


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """Where the places of a batch take their keys and values from, and how far each key moves."""

    slots_P: torch.Tensor
    moved_P: Rotation | None


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Where B problems take their queries, keys and values from, and where the results go.

    Padding repeats a row that is there, and no real row sees it. What is `shown` fills every place of what is
    `gathered`, or of scratch memory, unless it is there already (None); places behind a view are then overwritten by
    `own_rows_M`.
    """

    num_rows: int
    num_keys: int
    rows_BQ: torch.Tensor
    shown: Shown | None
    gathered: Gathered | None
    own_rows_M: torch.Tensor
    own_places_M: torch.Tensor
    mask_BQK: torch.Tensor
    results: torch.Tensor
    result_places: torch.Tensor

    @property
    def num_places(self) -> int:
        """Return how many keys all problems have, padding and all."""
        return self.mask_BQK.shape[0] * self.num_keys


def batches_of(
    groups: Sequence[Group], layout: Layout, rope: RotaryTable, gathered: GatheredViews, dtype: torch.dtype
) -> tuple[tuple[Batch, ...], tuple[Group, ...]]:
    """Return batches of what is small, for a CPU, and the groups with what is left."""
    small = [(group, bundle) for group in groups for bundle in group.bundles if _is_small(group, bundle)]
    together = [chosen for chosen in _alike(small) if len(chosen) > 1]
    taken = {id(bundle) for chosen in together for _, bundle in chosen}
    left = [
        replace(group, bundles=tuple(bundle for bundle in group.bundles if id(bundle) not in taken)) for group in groups
    ]
    made = tuple(_batch(chosen, layout, rope, gathered, dtype) for chosen in together)
    return made, tuple(group for group in left if group.bundles)


def _is_small(group: Group, bundle: Bundle) -> bool:
    """Whether a bundle may be padded; those that share a view also share what is gathered of it, and stay together."""
    gathers_alone = group.view.length > 0 and len(group.bundles) == 1
    return gathers_alone and bundle.num_rows * (group.view.length + bundle.num_rows) <= _MOST_SCORES


def _alike(small: Iterable[tuple[Group, Bundle]]) -> list[list[tuple[Group, Bundle]]]:
    """Put those of about the same size together; the same views in the same order, whatever is asked behind them."""
    chosen: list[list[tuple[Group, Bundle]]] = []
    scores, most_rows = 0, 0
    for group, bundle in sorted(small, key=lambda pair: (pair[0].view.length, id(pair[0].view))):
        most_rows = max(most_rows, bundle.num_rows)
        keys = group.view.length + most_rows
        scores += bundle.num_rows * (group.view.length + bundle.num_rows)
        number = len(chosen[-1]) + 1 if chosen else 1
        if chosen and number * most_rows * keys <= _MOST_PADDING * scores and number * keys <= _MOST_KEYS:
            chosen[-1].append((group, bundle))
        else:
            chosen.append([(group, bundle)])
            most_rows = bundle.num_rows
            scores = most_rows * (group.view.length + most_rows)
    return chosen


def _batch(
    chosen: Sequence[tuple[Group, Bundle]],
    layout: Layout,
    rope: RotaryTable,
    gathered: GatheredViews,
    dtype: torch.dtype,
) -> Batch:
    most_rows = max(bundle.num_rows for _, bundle in chosen)
    most_keys = max(group.view.length + bundle.num_rows for group, bundle in chosen)
    most_keys += -most_keys % _PLACES
    kept = gathered.of(tuple(group.view for group, _ in chosen), most_keys)
    most_keys = most_keys if kept is None else kept.num_keys
    sees_BQK = numpy.zeros((len(chosen), most_rows, most_keys), dtype=bool)
    rows_BQ = numpy.empty((len(chosen), most_rows), dtype=numpy.int64)
    own_rows, own_places, results = [], [], []
    for number, (group, bundle) in enumerate(chosen):
        num_view, num_rows = group.view.length, bundle.num_rows
        rows_BQ[number] = bundle.first + numpy.minimum(numpy.arange(most_rows), num_rows - 1)
        behind = numpy.arange(most_keys - num_view)
        own_places.append(number * most_keys + num_view + behind)
        own_rows.append(bundle.first + numpy.minimum(behind, num_rows - 1))
        results.append(number * most_rows + numpy.arange(num_rows))
        sees_BQK[number, :, :num_view] = True
        sees_BQK[number, :num_rows, num_view : num_view + num_rows] = visible(bundle.spans, layout)
        sees_BQK[number, num_rows:, num_view] = True

    mask_BQK = torch.zeros(sees_BQK.shape, dtype=dtype)
    mask_BQK.masked_fill_(~torch.from_numpy(sees_BQK), float("-inf"))
    return Batch(
        num_rows=most_rows,
        num_keys=most_keys,
        rows_BQ=torch.from_numpy(rows_BQ.ravel()),
        shown=None if kept is not None and kept.is_filled else _shown(chosen, most_keys, rope),
        gathered=kept,
        own_rows_M=_joined(own_rows),
        own_places_M=_joined(own_places),
        mask_BQK=mask_BQK,
        results=_joined(results),
        result_places=_joined([numpy.arange(bundle.first, bundle.stop) for _, bundle in chosen]),
    )


def _shown(chosen: Sequence[tuple[Group, Bundle]], num_keys: int, rope: RotaryTable) -> Shown:
    slots_BK, shifts_BK = numpy.zeros((2, len(chosen), num_keys), dtype=numpy.int64)
    for number, (group, _) in enumerate(chosen):
        slots_BK[number, : group.view.length] = group.view.slots
        shifts_BK[number, : group.view.length] = group.view.shifts
    moved_P = rope.at(torch.from_numpy(shifts_BK.ravel())) if shifts_BK.any() else None
    return Shown(torch.from_numpy(slots_BK.ravel()), moved_P)


def _joined(parts: Sequence[numpy.ndarray]) -> torch.Tensor:
    return torch.from_numpy(numpy.concatenate(parts))
