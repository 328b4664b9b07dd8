"""Rows put together to a batch of equal length: several samples in each, that do not see each other.

Whatever has a length that depends on the data is counted here, in the processes that make batches: on a GPU to ask for
a length is to wait until all that was asked of it before is done.

Shapes: B rows, T tokens of each, N predicted tokens, A listed actions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy
import torch

from agent_runtime.tuning.errors import SampleTooLong
from agent_runtime.tuning.rows import IGNORED, Row

_PADDING = {"document": -1, "label": IGNORED, "ask": -1, "divisor": 1}


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows as tensors [B, T], int64. See `Row`.

    `wanted` [N] are the flat places where something is to be predicted. Those of one answer have one number in
    `action` [N], and the answers of one ask one in `decision_of_action` [A], of `num_decisions`; `divisor_of_action`
    [A] are the answers' divisors. No row has more than `used` tokens before its padding. `left_out` samples fit no
    row, or not the model's context.
    """

    ids: torch.Tensor
    place: torch.Tensor
    local: torch.Tensor
    own_from: torch.Tensor
    seen_from: torch.Tensor
    seen_to: torch.Tensor
    asked_from: torch.Tensor
    asked_to: torch.Tensor
    is_anchor: torch.Tensor
    label: torch.Tensor
    document: torch.Tensor
    ask: torch.Tensor
    wanted: torch.Tensor
    action: torch.Tensor
    decision_of_action: torch.Tensor
    divisor_of_action: torch.Tensor
    num_decisions: int
    used: int
    is_doubled: bool
    is_shared: bool
    left_out: int = 0

    @property
    def rows(self) -> torch.Tensor:
        """Return the number of the row that each predicted token stands in, int64 [N]."""
        return self.wanted // self.ids.shape[1]

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on another device, where it may arrive later if it was pinned."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "Batch":
        """Return the batch in memory that a GPU reads by itself; a DataLoader asks for it."""
        return self._each(torch.Tensor.pin_memory)

    def trimmed(self) -> "Batch":
        """Return the batch without the padding that all its rows end in."""
        length = self.ids.shape[1]
        wanted = self.wanted // length * self.used + self.wanted % length
        columns: dict[str, Any] = {name: getattr(self, name)[:, : self.used] for name in _COLUMNS}
        return replace(self, wanted=wanted, **columns)

    def _each(self, moved: Callable[[torch.Tensor], torch.Tensor]) -> "Batch":
        tensors: dict[str, Any] = {name: moved(getattr(self, name)) for name in (*_COLUMNS, *_LISTS)}
        return replace(self, **tensors)


# What points at tokens of the row.
_INDICES = ("own_from", "seen_from", "seen_to", "asked_from", "asked_to")
_OF_ROWS = tuple(field.name for field in fields(Row))
_LISTS = ("wanted", "action", "decision_of_action", "divisor_of_action")
# A batch has the divisor of every action, and no column of them.
_COLUMNS = tuple(name for name in _OF_ROWS if name != "divisor")


def joined(rows: Sequence[Row], length: int) -> Row:
    """Return `rows` as the documents of one, padded to `length`. Raises SampleTooLong."""
    total = sum(len(row.ids) for row in rows)
    if total > length:
        raise SampleTooLong(total, length)
    placed, first = [], 0
    for number, row in enumerate(rows):
        here = {name: getattr(row, name) + first for name in _INDICES}
        placed.append(replace(row, document=numpy.full(len(row.ids), number), **here))
        first += len(row.ids)
    columns = {}
    for name in _OF_ROWS:
        # Padding sees itself and nothing else.
        padding = numpy.full(length - total, _PADDING.get(name, 0), dtype=numpy.int64)
        if name == "own_from":
            padding = numpy.arange(total, length)
        columns[name] = numpy.concatenate([*[getattr(row, name) for row in placed], padding])
    return Row(**columns)


def batch_of(rows: Sequence[Row]) -> Batch:
    """Return rows of equal length as one batch."""
    columns = {name: numpy.stack([getattr(row, name) for row in rows]) for name in _COLUMNS}
    wanted_N = numpy.flatnonzero(columns["label"] != IGNORED)
    row_N = wanted_N // columns["label"].shape[1]
    decided = (row_N, *(columns[name].ravel()[wanted_N] for name in ("document", "ask")))
    action_N, starts_N = _numbered(*decided, columns["own_from"].ravel()[wanted_N])
    decision_A, first_A = _numbered(*(column[starts_N] for column in decided))
    divisor_A = numpy.stack([row.divisor for row in rows]).ravel()[wanted_N[starts_N]]
    lists = dict(zip(_LISTS, (wanted_N, action_N, decision_A, divisor_A), strict=True))
    tensors: dict[str, Any] = {name: torch.from_numpy(array) for name, array in {**columns, **lists}.items()}
    used = numpy.flatnonzero((columns["document"] >= 0).any(0))
    return Batch(
        **tensors,
        num_decisions=int(first_A.sum()),
        used=int(used.max(initial=-1)) + 1,
        is_doubled=any(row.is_doubled for row in rows),
        is_shared=any(row.is_shared for row in rows),
    )


def _numbered(*keys: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Number runs of equal keys from 0 on, int64 [N], and say where each begins, bool [N]."""
    begins = numpy.zeros(len(keys[0]), dtype=bool)
    begins[:1] = True
    for key in keys:
        begins[1:] |= key[1:] != key[:-1]
    return begins.cumsum(dtype=numpy.int64) - 1, begins
