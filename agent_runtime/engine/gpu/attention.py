"""The way of a GPU behind transformers' `AttentionInterface`: three kernels a layer, whatever the number of blocks.

The other two ways are its references (`engine/attention.py`): logits agree in float32 to 1e-4.

Shapes: T rows of the forward, H query heads, G key/value heads, D head dimension, P positions, F half the dimension.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
import triton
from transformers import AttentionInterface

from agent_runtime.engine.attention import BY_KERNELS, refuse_keywords
from agent_runtime.engine.errors import EngineClosed
from agent_runtime.engine.gpu.kernels import attend, enter, merge
from agent_runtime.engine.gpu.work_list import KEY_TILE, MERGE_FIELDS, PIECE_FIELDS, Shape, WorkList, make_work_list
from agent_runtime.engine.layout import Layout, groups_of
from agent_runtime.engine.pool import Pool
from agent_runtime.engine.rope import RotaryTable
from agent_runtime.engine.step import Scratch

# Matrix products have no side shorter than this.
_LEAST_DOT = 16
# What a program of the two smaller kernels takes.
_ROWS_ENTERING, _HEADS_MERGING = 16, 4
# Programs that a multiprocessor runs at once.
_PROGRAMS_EACH = 2
# Where kernels are interpreted, on a CPU: enough that work is split.
_PROGRAMS_INTERPRETED = 8


@dataclass(frozen=True, slots=True)
class KernelStep:
    """One packed forward on one device, as every layer's kernels read it."""

    pool: Pool
    work: WorkList
    shape: Shape
    cos_PF: torch.Tensor
    sin_PF: torch.Tensor
    scratch: Scratch = field(default_factory=Scratch)


def register() -> None:
    """Make the way known to transformers; calling it again changes nothing."""
    AttentionInterface.register(BY_KERNELS, by_kernels)


def make_kernel_step(layout: Layout, pool: Pool, rope: RotaryTable, num_heads: int, device: torch.device) -> KernelStep:
    """Build what every layer on `device` reads."""
    num_groups = pool.geometry.num_kv_heads
    shape = Shape(num_heads // num_groups, num_groups, _num_programs(device))
    work = make_work_list(layout, groups_of(layout), shape, device)
    return KernelStep(pool, work, shape, *rope.halves(device))


def _num_programs(device: torch.device) -> int:
    if device.type != "cuda":
        return _PROGRAMS_INTERPRETED
    return _PROGRAMS_EACH * torch.cuda.get_device_properties(device).multi_processor_count


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
    step = steps[query.device]
    layer = int(module.layer_idx)  # type: ignore[arg-type]
    _, num_heads, num_rows, head_dim = query.shape
    num_groups, half = key.shape[1], head_dim // 2
    sizes = {"HEADS": num_heads, "GROUPS": num_groups, "HALF": half, "F": max(_LEAST_DOT, triton.next_power_of_2(half))}
    work, pool, empty = step.work, step.pool, step.scratch.empty
    q_THD = empty("queries", (num_rows, num_heads, head_dim), query)
    k_TGD = empty("keys", (num_rows, num_groups, head_dim), key)
    v_TGD = empty("values", (num_rows, num_groups, head_dim), value)
    enter[(triton.cdiv(num_rows, _ROWS_ENTERING), num_heads + num_groups)](
        query,
        key,
        value,
        q_THD,
        k_TGD,
        v_TGD,
        pool.keys[layer],
        pool.values[layer],
        work.positions_T,
        work.slots_T,
        step.cos_PF,
        step.sin_PF,
        num_rows,
        *(stride for each in (query, key, value) for stride in (each.stride(2), each.stride(1))),
        **sizes,
        ROWS=_ROWS_ENTERING,
    )
    out_THD = torch.empty((num_rows, num_heads, head_dim), dtype=query.dtype, device=query.device)
    single = torch.empty(0, device=query.device)
    means = empty("means", (max(work.num_parts, 1), num_heads, head_dim), single)
    sums = empty("sums", (max(work.num_parts, 1), num_heads), single)
    scale = head_dim**-0.5 if scaling is None else scaling
    for count, pieces, tile in zip(work.counts, (work.narrow, work.wide), step.shape.tiles, strict=True):
        if not count:
            continue
        attend[(min(count * num_groups, step.shape.num_programs),)](
            q_THD,
            k_TGD,
            v_TGD,
            pool.keys[layer],
            pool.values[layer],
            out_THD,
            means,
            sums,
            pieces,
            pieces[PIECE_FIELDS:],
            work.key_slots_K,
            work.key_shifts_K,
            work.masks,
            step.cos_PF,
            step.sin_PF,
            scale,
            **sizes,
            M=tile,
            N=KEY_TILE,
            FIELDS=PIECE_FIELDS,
            PRECISION="ieee" if query.dtype is torch.float32 else "tf32",
        )
    if work.num_parts:
        merge[(num_rows, triton.cdiv(num_heads, _HEADS_MERGING))](
            out_THD,
            means,
            sums,
            work.merges_T,
            HEADS=num_heads,
            H=_HEADS_MERGING,
            DIM=head_dim,
            D=triton.next_power_of_2(head_dim),
            FIELDS=MERGE_FIELDS,
        )
    return out_THD[None], None
