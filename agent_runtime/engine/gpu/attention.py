"""The way of a GPU behind transformers' `AttentionInterface`: five kernels a layer at most, however many the blocks.

The other two ways are its references (`engine/attention.py`): logits agree in float32 to 1e-4.

Shapes: T rows of the forward, H query heads, G key/value heads, D head dimension, P positions, F half the dimension.
"""

from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
import triton
from transformers import AttentionInterface

from agent_runtime.engine.attention import BY_KERNELS, refuse_keywords
from agent_runtime.engine.errors import EngineClosed
from agent_runtime.engine.gpu.kernels import attend, attend_shared, enter, merge
from agent_runtime.engine.gpu.work_list import KEY_TILE, MERGE_FIELDS, PIECE_FIELDS, Shape, WorkList, plan_work
from agent_runtime.engine.layout import Layout
from agent_runtime.engine.pool import Pool
from agent_runtime.engine.rope import RotaryTable
from agent_runtime.engine.step import Scratch

# Matrix products have no side shorter than this.
_LEAST_DOT = 16
# What a program of the two smaller kernels takes.
_ROWS_ENTERING, _HEADS_MERGING = 16, 4
# How programs of the two large kernels are compiled: 4 warps of 32 threads, 2 tiles of keys on their way. In bfloat16
# with heads of up to 128 that takes at most 112 KiB of a multiprocessor's shared memory.
_LAUNCH = {"num_warps": 4, "num_stages": 2}
# Programs that a multiprocessor runs at once.
_PROGRAMS_EACH = 2
# Where kernels are interpreted, on a CPU: enough that work is split.
_PROGRAMS_INTERPRETED = 8


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
    layout: Layout, device: torch.device, *, pool: Pool, rope: RotaryTable, num_heads: int
) -> KernelStep:
    """Build what every layer on `device` reads."""
    num_groups = pool.geometry.num_kv_heads
    shape = Shape(num_heads // num_groups, num_groups, num_programs(device), rope.num_positions)
    return KernelStep(pool, plan_work(layout, shape).on(device), shape, *rope.halves(device))


def num_programs(device: torch.device) -> int:
    """Return how many programs `device` is to run at once."""
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
    num_groups, half = k_TGD.shape[1], head_dim // 2
    sizes = {
        "HEADS": num_heads,
        "GROUPS": num_groups,
        "HALF": half,
        "F": max(_LEAST_DOT, triton.next_power_of_2(half)),
    }
    work, pool, empty = step.work, step.pool, step.scratch.empty
    turned_THD = empty("queries", (num_rows, num_heads, head_dim), q_THD)
    own_k_TGD = empty("keys", (num_rows, num_groups, head_dim), k_TGD)
    own_v_TGD = empty("values", (num_rows, num_groups, head_dim), v_TGD)
    *counts, num_shared = work.counts
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
        work.positions_T,
        work.slots_T,
        step.cos_PF,
        step.sin_PF,
        plain_THD,
        num_rows,
        *strides,
        factor,
        *(head_norms or (q_THD, k_TGD)),
        eps,
        **sizes,
        ROWS=_ROWS_ENTERING,
        NORMS=head_norms is not None,
        PLAIN=num_shared > 0,
    )
    if step.attended is None:
        out_THD = torch.empty((num_rows, num_heads, head_dim), dtype=q_THD.dtype, device=q_THD.device)
    else:
        out_THD = step.attended[:num_rows]
    single = torch.empty(0, device=q_THD.device)
    means = empty("means", (max(work.num_parts, 1), num_heads, head_dim), single)
    sums = empty("sums", (max(work.num_parts, 1), num_heads), single)
    precision = "ieee" if q_THD.dtype is torch.float32 else "tf32"
    for count, pieces, tile in zip(counts, (work.narrow, work.wide), step.shape.tiles, strict=True):
        if not count:
            continue
        attend[(min(count * num_groups, step.shape.num_programs),)](
            turned_THD,
            own_k_TGD,
            own_v_TGD,
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
            PRECISION=precision,
            **_LAUNCH,
        )
    if num_shared:
        attend_shared[(min(num_shared * num_groups, step.shape.num_programs),)](
            plain_THD,
            work.positions_T,
            pool.keys[layer],
            pool.values[layer],
            means,
            sums,
            work.shared,
            work.shared[PIECE_FIELDS:],
            work.shared_rows,
            work.shared_runs,
            work.shared_shifts,
            work.key_slots_K,
            step.cos_PF,
            step.sin_PF,
            scale,
            **sizes,
            M=step.shape.tiles[1],
            N=KEY_TILE,
            FIELDS=PIECE_FIELDS,
            PRECISION=precision,
            **_LAUNCH,
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
    return out_THD
