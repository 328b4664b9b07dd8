"""The way of a GPU behind transformers' `AttentionInterface`: five kernels a layer at most, however many the blocks.

The other two ways are its references (`engine/attention.py`): logits agree in float32 to 1e-4.

Shapes: T rows of the forward, H query heads, G key/value heads, D head dimension, P positions, F half the dimension.
"""

import math
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
import triton
from transformers import AttentionInterface

from agent_runtime.engine.attention import BY_KERNELS, refuse_keywords
from agent_runtime.engine.errors import EngineClosed
from agent_runtime.engine.gpu.entering import enter
from agent_runtime.engine.gpu.fused import FUSION
from agent_runtime.engine.gpu.kernels import attend, attend_shared, merge
from agent_runtime.engine.gpu.key_tiles import KEY_TILE_FIELDS
from agent_runtime.engine.gpu.planning import plan_work
from agent_runtime.engine.gpu.support import specialises
from agent_runtime.engine.gpu.tiling import MOST_PER_GROUP, Tile, tiling_of
from agent_runtime.engine.gpu.work_list import ITEM_FIELDS, MERGE_FIELDS, Shape, WorkList
from agent_runtime.engine.layout import Layout
from agent_runtime.engine.pool import Pool
from agent_runtime.engine.rope import RotaryTable
from agent_runtime.engine.step import Scratch

# Matrix products have no side shorter than this.
_LEAST_DOT = 16
# What a program of the two smaller kernels takes. One warp that merges four parts at a time waits for no other: 2.9 us
# a layer, where four warps that merged 16 took 7.5 (H100, 50 rows of 32 heads).
_ROWS_ENTERING, _PARTS_MERGING, _WARPS_MERGING = 16, 4, 1
# Where kernels are interpreted, on a CPU: enough that work is split.
_MULTIPROCESSORS_INTERPRETED = 8
# Scores are exponents of 2, for which a GPU has an instruction.
_LOG2_E = math.log2(math.e)


@dataclass(frozen=True, slots=True)
class KernelStep:
    """One packed forward on one device, as every layer's kernels read it.

    `attended` is where every layer's result goes, where rows may be padding, of which nothing is written.
    """

    pool: Pool
    work: WorkList
    shape: Shape
    cos_PF: torch.Tensor
    sin_PF: torch.Tensor
    scratch: Scratch = field(default_factory=Scratch)
    attended: torch.Tensor | None = None


def register() -> None:
    """Make the way known to transformers; calling it again changes nothing."""
    AttentionInterface.register(BY_KERNELS, by_kernels)


def make_kernel_step(
    layout: Layout, device: torch.device, *, pool: Pool, rope: RotaryTable, num_heads: int, specialised: bool = True
) -> KernelStep:
    """Build what every layer on `device` reads."""
    shape = shape_of(pool, rope, num_heads, device, specialised=specialised)
    return KernelStep(pool, plan_work(layout, shape).on(device), shape, *rope.halves(device))


def shape_of(pool: Pool, rope: RotaryTable, num_heads: int, device: torch.device, *, specialised: bool = True) -> Shape:
    """Return what planning has to know of a model and of `device`.

    `specialised` False leaves out the kernel whose warps are specialised, where a device has that.
    """
    geometry = pool.geometry
    per_group = num_heads // geometry.num_kv_heads
    specialised = specialised and per_group <= MOST_PER_GROUP and specialises(device)
    tiling = tiling_of(geometry.dtype, geometry.head_dim, specialised=specialised)
    return Shape(per_group, geometry.num_kv_heads, rope.num_positions, tiling, _num_multiprocessors(device))


def _num_multiprocessors(device: torch.device) -> int:
    if device.type != "cuda":
        return _MULTIPROCESSORS_INTERPRETED
    return torch.cuda.get_device_properties(device).multi_processor_count


def by_kernels(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    *,
    steps: dict[torch.device, KernelStep],
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Attend one layer's packed rows; query [1, H, T, D], key and value [1, G, T, D], un-rotated."""
    if options["is_stopped"]():
        raise EngineClosed
    refuse_keywords(module, options)
    layer = int(module.layer_idx)  # type: ignore[arg-type]
    q_THD, k_TGD, v_TGD = (each[0].transpose(0, 1) for each in (query, key, value))
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    with torch.cuda.device(query.device) if query.is_cuda else nullcontext():  # where Triton launches
        return attend_rows(steps[query.device], layer, q_THD, k_TGD, v_TGD, scale)[None], None


def attend_rows(
    step: KernelStep,
    layer: int,
    q_THD: torch.Tensor,
    k_TGD: torch.Tensor,
    v_TGD: torch.Tensor,
    scale: float,
    factor: float = 1.0,
    head_norms: tuple[torch.Tensor, torch.Tensor] | None = None,
    eps: float = 0.0,
) -> torch.Tensor:
    """Attend one layer's packed rows, un-rotated, in any strides but the last; returns [T, H, D].

    `factor` multiplies queries and keys; `head_norms` are the weights of a norm [D] of every query and every key.
    """
    num_rows, num_heads, head_dim = q_THD.shape
    num_groups = k_TGD.shape[1]
    work, pool, empty = step.work, step.pool, step.scratch.empty
    turned_THD = empty("queries", (num_rows, num_heads, head_dim), q_THD)
    own_k_TGD = empty("keys", (num_rows, num_groups, head_dim), k_TGD)
    own_v_TGD = empty("values", (num_rows, num_groups, head_dim), v_TGD)
    num_shared = work.counts[2]
    plain_THD = empty("plain", (num_rows, num_heads, head_dim), q_THD) if num_shared else turned_THD
    strides = (stride for each in (q_THD, k_TGD, v_TGD) for stride in each.stride()[:2])
    enter[(triton.cdiv(num_rows, _ROWS_ENTERING), num_heads + num_groups)](
        q_THD,
        k_TGD,
        v_TGD,
        turned_THD,
        own_k_TGD,
        own_v_TGD,
        pool.keys[layer],
        pool.values[layer],
        work.at("positions_T"),
        work.at("slots_T"),
        step.cos_PF,
        step.sin_PF,
        plain_THD,
        num_rows,
        *strides,
        factor,
        *(head_norms or (q_THD, k_TGD)),
        eps,
        **_sizes(num_heads, num_groups, head_dim),
        ROWS=_ROWS_ENTERING,
        NORMS=head_norms is not None,
        PLAIN=num_shared > 0,
        enable_fp_fusion=FUSION,
    )
    if step.attended is None:
        out_THD = torch.empty((num_rows, num_heads, head_dim), dtype=q_THD.dtype, device=q_THD.device)
    else:
        out_THD = step.attended[:num_rows]
    single = torch.empty(0, device=q_THD.device)
    means = empty("means", (max(work.num_parts, 1), num_heads, head_dim), single)
    sums = empty("sums", (max(work.num_parts, 1), num_heads), single)
    for kind, count in enumerate(work.counts[:2]):
        if not count:
            continue
        kernel = _attending(step.shape.tiling[kind])
        kernel[(min(count * num_groups, step.shape.num_programs(kind)),)](
            turned_THD,
            own_k_TGD,
            own_v_TGD,
            pool.keys[layer],
            pool.values[layer],
            out_THD,
            means,
            sums,
            work.whole,
            kind,
            step.cos_PF,
            step.sin_PF,
            scale * _LOG2_E,
            **constants(step.shape, kind, q_THD.dtype, head_dim),
        )
    if num_shared:
        attend_shared[(min(num_shared * num_groups, step.shape.num_programs(2)),)](
            plain_THD,
            work.at("positions_T"),
            pool.keys[layer],
            pool.values[layer],
            means,
            sums,
            work.whole,
            step.cos_PF,
            step.sin_PF,
            scale * _LOG2_E,
            **constants(step.shape, 2, q_THD.dtype, head_dim),
        )
    if work.num_parts:
        merge[(num_rows, num_heads)](
            out_THD,
            means,
            sums,
            work.at("merges_T"),
            HEADS=num_heads,
            DIM=head_dim,
            D=triton.next_power_of_2(head_dim),
            PARTS=_PARTS_MERGING,
            FIELDS=MERGE_FIELDS,
            num_warps=_WARPS_MERGING,
            enable_fp_fusion=FUSION,
        )
    return out_THD


def _attending(tile: Tile) -> Any:
    """Return the kernel that attends narrow or wide items by a tile."""
    if not tile.is_specialised:
        return attend
    from agent_runtime.engine.gpu.specialised import attend_specialised  # which no other GPU has

    return attend_specialised


def constants(shape: Shape, kind: int, dtype: torch.dtype, head_dim: int) -> dict[str, int | str]:
    """Return what the kernel of narrow, wide or shared items is compiled for."""
    tile = shape.tiling[kind]
    if tile.is_specialised:
        from agent_runtime.engine.gpu.specialised import CONSTANTS

        num_heads = shape.per_group * shape.num_groups
        return {
            **CONSTANTS,
            "HEADS": num_heads,
            "GROUPS": shape.num_groups,
            "HALF": head_dim // 2,
            "N": tile.keys,
            "STAGES": tile.stages,
            "FIELDS": ITEM_FIELDS,
            "TILE_FIELDS": KEY_TILE_FIELDS,
            "enable_fp_fusion": FUSION,
        }
    listed = {"TILE_FIELDS": KEY_TILE_FIELDS} if kind < 2 else {}
    return {
        **listed,
        **_sizes(shape.per_group * shape.num_groups, shape.num_groups, head_dim),
        "M": shape.tile_rows[kind],
        "N": tile.keys,
        "FIELDS": ITEM_FIELDS,
        "PRECISION": "ieee" if dtype is torch.float32 else "tf32",
        "num_warps": tile.warps,
        "num_stages": tile.stages,
        "enable_fp_fusion": FUSION,
    }


def _sizes(num_heads: int, num_groups: int, head_dim: int) -> dict[str, int]:
    half = head_dim // 2
    padded = max(_LEAST_DOT, triton.next_power_of_2(half))
    return {"HEADS": num_heads, "GROUPS": num_groups, "HALF": half, "F": padded}
