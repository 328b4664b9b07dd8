"""One packed forward, ready to be computed: what every layer reads of it, made once.

Shapes: T rows of the forward, S tokens of a view, Q rows of one bundle.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy
import torch

from agent_runtime.engine.batches import Batch, batches_of
from agent_runtime.engine.copies import there
from agent_runtime.engine.gathered import GatheredViews
from agent_runtime.engine.layout import CHUNK_ROWS, Bundle, Group, Layout, groups_of, visible
from agent_runtime.engine.pool import Pool
from agent_runtime.engine.rope import RotaryTable, Rotation
from agent_runtime.engine.span import Span


class Scratch:
    """Memory that the layers of one forward use one after the other: pages that are touched first are slow."""

    def __init__(self) -> None:
        self._buffers: dict[str, torch.Tensor] = {}

    def empty(self, name: str, shape: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
        """Return a contiguous tensor with anything in it; the next call with this name may return the same memory."""
        size = math.prod(shape)
        buffer = self._buffers.get(name)
        if buffer is None or buffer.numel() < size:
            buffer = self._buffers[name] = like.new_empty(size)
        return buffer[:size].view(shape)


@dataclass(frozen=True, slots=True)
class Call:
    """One attention call: rows `first` to `stop` over the first `num_keys` keys of their bundle.

    `mask_QK` is added to the scores; without it the rows see everything, or, if `causal`, square and causally.
    """

    first: int
    stop: int
    num_keys: int
    mask_QK: torch.Tensor | None = None
    causal: bool = False


@dataclass(frozen=True, slots=True)
class Single:
    """A group that is attended by itself: what it gathers of its view, and the calls of each of its bundles."""

    group: Group
    slots_S: torch.Tensor
    moved: Rotation | None
    calls: tuple[tuple[Call, ...], ...]


@dataclass(frozen=True, slots=True)
class Step:
    """The packed forward on one device. `batches` and `singles` are `groups` once more: what is small, and the rest."""

    pool: Pool
    rope: RotaryTable
    layout: Layout
    turned: Rotation
    positions_T: torch.Tensor
    kept_rows: torch.Tensor
    kept_slots: torch.Tensor
    groups: tuple[Group, ...]
    batches: tuple[Batch, ...]
    singles: tuple[Single, ...]
    onednn: bool = False
    scratch: Scratch = field(default_factory=Scratch)
    _folded: dict[tuple[int, int], torch.Tensor] = field(default_factory=dict)

    def batch_mask(self, batch: Batch, per_group: int) -> torch.Tensor:
        """Return a batch's mask, [B, 1, Q x `per_group`, K], every row `per_group` times; made once for all layers."""
        if (id(batch), 0) not in self._folded:
            self._folded[id(batch), 0] = batch.mask_BQK.repeat_interleave(per_group, 1)[:, None]
        return self._folded[id(batch), 0]

    def folded_mask(self, call: Call, per_group: int, from_key: int = 0) -> torch.Tensor | None:
        """Return a call's mask of the keys `from_key` and on, every row `per_group` times; made once for all layers."""
        if call.mask_QK is None:
            return None
        if (id(call), from_key) not in self._folded:
            self._folded[id(call), from_key] = call.mask_QK[:, from_key:].repeat_interleave(per_group, 0)
        return self._folded[id(call), from_key]


def make_step(
    layout: Layout,
    pool: Pool,
    rope: RotaryTable,
    device: torch.device,
    dtype: torch.dtype,
    *,
    gathered: GatheredViews,
    onednn: bool = False,
) -> Step:
    """Build what every layer on `device` reads; `onednn`: products of many rows are to be oneDNN's.

    Batches that `gathered` holds, or is to hold, take their keys from there.
    """
    positions = numpy.concatenate([numpy.arange(s.start, s.start + len(s.ids)) for s in layout.spans])
    kept = [span for span in layout.spans if span.keep is not None]
    rows = [numpy.arange(layout.first_row[s], layout.first_row[s] + len(s.ids)) for s in kept]
    slots = [s.keep.slots() for s in kept if s.keep is not None]
    nothing = [numpy.empty(0, dtype=numpy.int64)]
    positions_T = there(positions, device)
    groups = groups_of(layout)
    batches, left = batches_of(groups, layout, rope, gathered, dtype) if device.type == "cpu" else ((), groups)
    return Step(
        pool=pool,
        rope=rope,
        layout=layout,
        turned=rope.at(positions_T),
        positions_T=positions_T,
        kept_rows=there(numpy.concatenate(rows or nothing), device),
        kept_slots=there(numpy.concatenate(slots or nothing), device),
        groups=groups,
        batches=batches,
        singles=tuple(_single(group, layout, rope, device, dtype) for group in left),
        onednn=onednn,
    )


def _single(group: Group, layout: Layout, rope: RotaryTable, device: torch.device, dtype: torch.dtype) -> Single:
    shifts = group.view.shifts
    moved = rope.at(there(shifts, device)) if shifts.any() else None
    calls = tuple(_calls(bundle, group.view.length, layout, device, dtype) for bundle in group.bundles)
    return Single(group, there(group.view.slots, device), moved, calls)


def _calls(bundle: Bundle, num_view: int, layout: Layout, device: torch.device, dtype: torch.dtype) -> tuple[Call, ...]:
    spans, first, num_rows = bundle.spans, bundle.first, bundle.num_rows
    num_chain = _leading_chain(spans)
    if num_chain < num_rows and num_chain <= CHUNK_ROWS:
        num_chain = 0  # few enough to share a call with what follows
    calls = _chain_calls(first, num_chain, num_view, device, dtype) if num_chain else []
    if num_chain < num_rows:
        sees = there(visible(spans, layout, num_chain), device)
        for begin in range(num_chain, num_rows, CHUNK_ROWS):
            end = min(begin + CHUNK_ROWS, num_rows)
            mask_QK = torch.zeros((end - begin, num_view + end), dtype=dtype, device=device)
            mask_QK[:, num_view:].masked_fill_(~sees[begin - num_chain : end - num_chain, :end], float("-inf"))
            calls.append(Call(first + begin, first + end, num_view + end, mask_QK))
    return tuple(calls)


def _leading_chain(spans: Sequence[Span]) -> int:
    """Return how many rows come before the first span that is not the child of the one before it."""
    num_rows = len(spans[0].ids)
    for parent, child in zip(spans, spans[1:], strict=False):
        if child.parent is not parent:
            break
        num_rows += len(child.ids)
    return num_rows


def _chain_calls(first: int, num_rows: int, num_view: int, device: torch.device, dtype: torch.dtype) -> list[Call]:
    """Return the calls for rows that see the view and, among themselves, whatever came before."""
    if num_view == 0:
        return [Call(first, first + num_rows, num_rows, causal=True)]
    if num_rows == 1:
        return [Call(first, first + 1, num_view + 1)]
    # One mask for all pieces: its end is the triangle of a piece, and each takes as much of it as the piece sees.
    longest = min(num_rows, CHUNK_ROWS)
    width = num_view + num_rows
    mask_QK = torch.zeros((longest, width), dtype=dtype, device=device)
    mask_QK[:, width - longest :].masked_fill_(
        ~torch.ones((longest, longest), dtype=torch.bool, device=device).tril_(), float("-inf")
    )
    calls = []
    for begin in range(0, num_rows, longest):
        end = min(begin + longest, num_rows)
        seen = num_view + end
        piece_QK = mask_QK[longest - (end - begin) :, width - seen :]
        if device.type != "cpu":  # whose kernels fault on a mask that begins at an odd place
            piece_QK = piece_QK.contiguous()
        calls.append(Call(first + begin, first + end, seen, piece_QK))
    return calls
