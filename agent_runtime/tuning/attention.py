"""Attention of packed training rows, equal to what the engine computes from stored blocks.

As in the engine the model is called with every position 0 and positions are applied here. A key stands at its place. A
query stands there too as it looks at its own span, and at its local position as it looks at its view; the two differ
for blocks that see the anchor, which are encoded directly behind it and stand elsewhere. One call does both: queries
are [at its place; at its local position], keys [where not the anchor; where the anchor], so that either half scores
its own kind of keys.

Shapes: B rows, H query heads, G key/value heads, T tokens, D head dimension, R rotary dimension.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch.nn.attention.flex_attention import BlockMask, flex_attention
from transformers import AttentionInterface

from agent_runtime.engine.attention import refuse_keywords
from agent_runtime.engine.rope import RotaryTable, Rotation
from agent_runtime.tuning.packing import Batch

TRAINING = "hotseat_training"
# FlexAttention works in tiles of this many queries and keys.
TILE = 128
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
        self._seen: Seen | None = None
        self._mask_mod: MaskMod | None = None
        self._is_shared = False

    def plan(self, batch: Batch) -> Plan:
        """Return what the layers need to attend `batch`, which lies on the planner's device."""
        seen = Seen.of(batch)
        is_gpu = self._device.type != "cpu"
        return Plan(
            at_place=self._rope.at(batch.place.flatten()),
            at_local=self._rope.at(batch.local.flatten()) if batch.is_doubled else None,
            is_anchor_B1T1=(batch.is_anchor == 1)[:, None, :, None],
            block_mask=self._block_mask(seen, batch.is_shared) if is_gpu else None,
            sees_B1TT=None if is_gpu else seen.dense()[:, None],
        )

    def _block_mask(self, seen: "Seen", is_shared: bool) -> BlockMask:
        """Return the mask as FlexAttention has it.

        Until a batch has answers that share a prompt nothing is asked about them: it makes a step 5 % longer.
        """
        is_new = self._seen is None or self._seen.own_from.shape != seen.own_from.shape
        if self._seen is None or is_new:
            self._seen = seen
        else:
            self._seen.take(seen)
        if is_new or (is_shared and not self._is_shared):
            self._is_shared |= is_shared
            self._mask_mod = self._seen.mask_mod(self._is_shared)
        some, whole = seen.tiles()
        assert self._mask_mod is not None
        length = seen.own_from.shape[1]
        return BlockMask.from_kv_blocks(
            *_listed(some & ~whole), *_listed(whole), TILE, self._mask_mod, seq_lengths=(length, length)
        )


@dataclass(frozen=True, slots=True)
class Seen:
    """What every token sees, int32 [B, T]: from `own_from` up to itself, and two intervals. See `Row`."""

    own_from: torch.Tensor
    seen_from: torch.Tensor
    seen_to: torch.Tensor
    asked_from: torch.Tensor
    asked_to: torch.Tensor

    @classmethod
    def of(cls, batch: Batch) -> "Seen":
        """Return what the tokens of a batch see, in memory of its own."""
        return cls(*(getattr(batch, name).int() for name in _SEEN))

    def take(self, other: "Seen") -> None:
        """Take the values of `other`, in this one's memory."""
        for name in _SEEN:
            getattr(self, name).copy_(getattr(other, name))

    def mask_mod(self, is_shared: bool = True) -> MaskMod:
        """Return whether one token sees another, as FlexAttention asks for it; no shared prompts unless `is_shared`."""
        own_from, seen_from, seen_to = self.own_from, self.seen_from, self.seen_to
        asked_from, asked_to = self.asked_from, self.asked_to

        def mask_mod(b: torch.Tensor, h: torch.Tensor, q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
            return ((k >= own_from[b, q]) & (k <= q)) | ((k >= seen_from[b, q]) & (k < seen_to[b, q]))

        def with_prompt(b: torch.Tensor, h: torch.Tensor, q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
            return mask_mod(b, h, q, k) | ((k >= asked_from[b, q]) & (k < asked_to[b, q]))

        return with_prompt if is_shared else mask_mod

    def dense(self) -> torch.Tensor:
        """Return the same as bool [B, T, T]: for a CPU and few tokens."""
        num_rows, length = self.own_from.shape
        b = torch.arange(num_rows, device=self.own_from.device)[:, None, None]
        q = torch.arange(length, device=self.own_from.device)[None, :, None]
        return self.mask_mod()(b, torch.zeros_like(b), q, q.transpose(1, 2))

    def tiles(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return of which tiles some pair is seen, and of which all are, bool [B, query tiles, key tiles].

        Counted from the ends of what each token sees. To evaluate all pairs instead, as `create_block_mask` does, took
        minutes to compile for 16,384 tokens.
        """
        num_rows, length = self.own_from.shape
        num_tiles = -(-length // TILE)
        width = num_tiles + 1
        queries = torch.arange(length, device=self.own_from.device)
        first_tile = torch.arange(num_rows, device=self.own_from.device)[:, None] * num_tiles + queries // TILE
        touched, covered = (self.own_from.new_zeros(num_rows * num_tiles * width) for _ in range(2))
        for begin, end in (
            (self.own_from, (queries + 1).expand_as(self.own_from)),
            (self.seen_from, self.seen_to),
            (self.asked_from, self.asked_to),
        ):
            first, stop = begin // TILE, (end + TILE - 1) // TILE
            inner_first, inner_stop = (begin + TILE - 1) // TILE, end // TILE
            for counts, low, high in ((touched, first, stop), (covered, inner_first, inner_stop)):
                one = ((low < high) & (begin < end)).int()
                for place, sign in ((low, one), (high, -one)):
                    at = first_tile * width + place.clamp(0, num_tiles)
                    counts.scatter_add_(0, at.flatten(), sign.flatten())
        tiles = torch.arange(num_tiles, device=self.own_from.device)[:, None]
        in_tile = (length - tiles * TILE).clamp(max=TILE)
        counted = [counts.view(num_rows, num_tiles, width).cumsum(-1)[..., :num_tiles] for counts in (touched, covered)]
        return counted[0] > 0, counted[1] == in_tile


_SEEN = tuple(field.name for field in fields(Seen))


def _listed(tiles: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return how many key tiles each query tile has, int32 [B, 1, Q], and which, those first, int32 [B, 1, Q, K]."""
    counts = tiles.sum(-1).int()
    places = tiles.int().argsort(dim=-1, descending=True, stable=True).int()
    return counts[:, None], places[:, None]


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
