"""Attention of packed training rows, equal to what the engine computes from stored blocks.

As in the engine the model is called with every position 0 and positions are applied here. A key stands at its place. A
query stands there too as it looks at its own span, and at its local position as it looks at its view; the two differ
for blocks that see the anchor, which are encoded directly behind it and stand elsewhere. One call does both: queries
are [at its place; at its local position], keys [where not the anchor; where the anchor], so that either half scores
its own kind of keys.

Shapes: B rows, H query heads, G key/value heads, T tokens, D head dimension, R rotary dimension.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention
from transformers import AttentionInterface

from agent_runtime.engine.attention import refuse_keywords
from agent_runtime.engine.rope import RotaryTable, Rotation
from agent_runtime.tuning.packing import Batch
from agent_runtime.tuning.rows import ANCHOR, ASKED, SEES_ANCHOR, SEES_STATIC

TRAINING = "hotseat_training"
MaskMod = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def register() -> None:
    """Make it known to transformers; calling it again changes nothing."""
    AttentionInterface.register(TRAINING, attend)


@dataclass(frozen=True, slots=True)
class Plan:
    """What every layer reads of a batch. One of `block_mask` (FlexAttention, on a GPU) and `sees_B1TT` is given."""

    at_place: Rotation
    at_local: Rotation | None
    is_anchor_B1T1: torch.Tensor
    block_mask: BlockMask | None
    sees_B1TT: torch.Tensor | None


class Planner:
    """Makes plans. On a GPU masks read buffers that stay where they are: a new one would be compiled anew each step."""

    def __init__(self, rope: RotaryTable, device: torch.device) -> None:
        self._rope = rope
        self._device = device
        self._buffers: tuple[torch.Tensor, ...] | None = None
        self._mask_mod: MaskMod | None = None

    def plan(self, batch: Batch) -> Plan:
        """Return what the layers need to attend `batch`, which lies on the planner's device."""
        shape = batch.ids.shape
        is_gpu = self._device.type != "cpu"
        mask_mod = self._fixed_mask_mod(batch) if is_gpu else mask_mod_of(*_columns(batch))
        return Plan(
            at_place=self._rope.at(batch.place.flatten()),
            at_local=self._rope.at(batch.local.flatten()) if batch.is_doubled else None,
            is_anchor_B1T1=(batch.kind == ANCHOR)[:, None, :, None],
            block_mask=_compiled_mask()(mask_mod, shape[0], None, shape[1], shape[1], device=self._device)
            if is_gpu
            else None,
            sees_B1TT=None if is_gpu else dense_mask(batch, mask_mod),
        )

    def _fixed_mask_mod(self, batch: Batch) -> MaskMod:
        columns = _columns(batch)
        if self._buffers is None or self._buffers[0].shape != columns[0].shape:
            self._buffers = tuple(column.clone() for column in columns)
            self._mask_mod = mask_mod_of(*self._buffers)
        else:
            for buffer, column in zip(self._buffers, columns, strict=True):
                buffer.copy_(column)
        assert self._mask_mod is not None
        return self._mask_mod


def _columns(batch: Batch) -> tuple[torch.Tensor, ...]:
    return batch.document, batch.span, batch.sees, batch.kind


def mask_mod_of(document: torch.Tensor, span: torch.Tensor, sees: torch.Tensor, kind: torch.Tensor) -> MaskMod:
    """Return which token sees which, as FlexAttention asks for it; all [B, T]."""

    def mask_mod(b: torch.Tensor, h: torch.Tensor, q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        is_before = (q >= k) & (document[b, q] == document[b, k])
        in_view = ((sees[b, q] == SEES_STATIC) & (kind[b, k] != ASKED)) | (
            (sees[b, q] == SEES_ANCHOR) & (kind[b, k] == ANCHOR)
        )
        return is_before & ((span[b, q] == span[b, k]) | in_view)

    return mask_mod


def dense_mask(batch: Batch, mask_mod: MaskMod) -> torch.Tensor:
    """Return the same as bool [B, 1, T, T]: a million times as much memory, for a CPU and few tokens."""
    num_rows, length = batch.ids.shape
    b = torch.arange(num_rows, device=batch.ids.device)[:, None, None]
    q = torch.arange(length, device=batch.ids.device)[None, :, None]
    return mask_mod(b, torch.zeros_like(b), q, q.transpose(1, 2))[:, None]


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    *,
    plan: Plan,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Attend one layer; query [B, H, T, D], key and value [B, G, T, D], un-rotated."""
    refuse_keywords(module, options)
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    q, k = rotated(query, plan.at_place), rotated(key, plan.at_place)
    if plan.at_local is not None:
        anchors = torch.where(plan.is_anchor_B1T1, k, 0.0)
        q, k = torch.cat((q, rotated(query, plan.at_local)), -1), torch.cat((k - anchors, anchors), -1)
    is_grouped = query.shape[1] != key.shape[1]
    if plan.block_mask is not None:
        out = _compiled_flex()(q, k, value, block_mask=plan.block_mask, scale=scale, enable_gqa=is_grouped)
    else:
        out = F.scaled_dot_product_attention(
            q, k, value, attn_mask=plan.sees_B1TT, scale=scale, enable_gqa=is_grouped, dropout_p=dropout
        )
    return out.transpose(1, 2), None


def rotated(x_BHTD: torch.Tensor, rotation: Rotation) -> torch.Tensor:
    """Return `x_BHTD` turned by a rotation of B x T tokens, in float32 and rounded once; gradients flow through."""
    num_rows, _, length, _ = x_BHTD.shape
    cos, sin = (half.view(num_rows, 1, length, -1) for half in (rotation.cos_TR, rotation.sin_TR))
    rotary_dim = cos.shape[-1]
    head = x_BHTD[..., :rotary_dim].float()
    turned = (head * cos + head.roll(rotary_dim // 2, -1) * sin).to(x_BHTD.dtype)
    return turned if rotary_dim == x_BHTD.shape[-1] else torch.cat((turned, x_BHTD[..., rotary_dim:]), -1)


@cache
def _compiled_flex() -> Any:
    return torch.compile(flex_attention, dynamic=False)


@cache
def _compiled_mask() -> Any:
    return torch.compile(create_block_mask, dynamic=False)
