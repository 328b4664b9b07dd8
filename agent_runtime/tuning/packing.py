"""Rows put together to a batch of equal length: several samples in each, that do not see each other.

Shapes: B rows, T tokens of each.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy
import torch

from agent_runtime.tuning.errors import SampleTooLong
from agent_runtime.tuning.rows import IGNORED, Row

_PADDING = {"document": -1, "label": IGNORED, "ask": -1, "decision": -1}


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows as tensors [B, T], int64. See `Row`.

    `left_out` samples were longer than a row, or than the model's context.
    """

    ids: torch.Tensor
    place: torch.Tensor
    local: torch.Tensor
    own_from: torch.Tensor
    seen_from: torch.Tensor
    seen_to: torch.Tensor
    is_anchor: torch.Tensor
    label: torch.Tensor
    document: torch.Tensor
    ask: torch.Tensor
    decision: torch.Tensor
    is_doubled: bool
    left_out: int = 0

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on another device."""
        tensors = {name: getattr(self, name).to(device, non_blocking=True) for name in _TENSORS}
        return replace(self, **tensors)

    def trimmed(self) -> "Batch":
        """Return the batch without the padding that all its rows end in."""
        used = int((self.document >= 0).any(0).nonzero().max()) + 1
        return replace(self, **{name: getattr(self, name)[:, :used] for name in _TENSORS})


# What points at tokens of the row.
_INDICES = ("own_from", "seen_from", "seen_to")
_TENSORS = tuple(field.name for field in fields(Row))


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
    for name in _TENSORS:
        # Padding sees itself and nothing else.
        padding = numpy.full(length - total, _PADDING.get(name, 0), dtype=numpy.int64)
        if name == "own_from":
            padding = numpy.arange(total, length)
        columns[name] = numpy.concatenate([*[getattr(row, name) for row in placed], padding])
    return Row(**columns)


def batch_of(rows: Sequence[Row]) -> Batch:
    """Return rows of equal length as one batch."""
    tensors: dict[str, Any] = {
        name: torch.from_numpy(numpy.stack([getattr(row, name) for row in rows])) for name in _TENSORS
    }
    return Batch(**tensors, is_doubled=any(row.is_doubled for row in rows))
