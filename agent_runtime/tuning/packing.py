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

_PADDING = {"document": -1, "label": IGNORED, "ask": -1}


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows as tensors [B, T], int64 but for `document` to `kind`, which are int32. See `Row`.

    `left_out` samples were longer than a row, or than the model's context.
    """

    ids: torch.Tensor
    place: torch.Tensor
    local: torch.Tensor
    document: torch.Tensor
    span: torch.Tensor
    sees: torch.Tensor
    kind: torch.Tensor
    label: torch.Tensor
    ask: torch.Tensor
    is_doubled: bool
    left_out: int = 0

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on another device."""
        tensors = {name: getattr(self, name).to(device, non_blocking=True) for name in _TENSORS}
        return replace(self, **tensors)


_TENSORS = tuple(field.name for field in fields(Row))
_SMALL = frozenset({"document", "span", "sees", "kind"})


def joined(rows: Sequence[Row], length: int) -> Row:
    """Return `rows` as the documents of one, padded to `length`. Raises SampleTooLong."""
    total = sum(len(row.ids) for row in rows)
    if total > length:
        raise SampleTooLong(total, length)
    num_spans = 0
    numbered = []
    for number, row in enumerate(rows):
        numbered.append(replace(row, document=numpy.full(len(row.ids), number), span=row.span + num_spans))
        num_spans += int(row.span.max()) + 1
    columns = {}
    for name in _TENSORS:
        padding = numpy.full(length - total, _PADDING.get(name, 0), dtype=numpy.int64)
        columns[name] = numpy.concatenate([*[getattr(row, name) for row in numbered], padding])
    return Row(**columns)


def batch_of(rows: Sequence[Row]) -> Batch:
    """Return rows of equal length as one batch."""
    tensors: dict[str, Any] = {}
    for name in _TENSORS:
        stacked = torch.from_numpy(numpy.stack([getattr(row, name) for row in rows]))
        tensors[name] = stacked.int() if name in _SMALL else stacked
    return Batch(**tensors, is_doubled=any(row.is_doubled for row in rows))
