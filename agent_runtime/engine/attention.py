"""Block attention behind transformers' `AttentionInterface`.

The model is called with every position 0, so that its own rotary embedding is the identity (a YaRN factor stays in the
query and the key, once each); positions are applied here. Two ways of moving a stored key to its place agree:
`move_keys` rotates a gathered copy of the keys (the hot path in plain torch), `move_queries` rotates the query by minus
the shift, once per placed run, and merges by log-sum-exp (the independent reference; keys are read where they lie).

Shapes: T rows of the forward, Q rows of a bundle, S tokens of a view, K keys of a bundle (its view and itself), H query
heads, G key/value heads, D head dimension.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from transformers import AttentionInterface

from agent_runtime.engine.batches import Batch
from agent_runtime.engine.copies import there
from agent_runtime.engine.cpu_products import product
from agent_runtime.engine.errors import EngineClosed, UnsupportedAttention
from agent_runtime.engine.layout import visible
from agent_runtime.engine.step import Call, Single, Step

MOVE_KEYS = "hotseat"
MOVE_QUERIES = "hotseat_reference"
# A third way, of a GPU (`engine/gpu/`): stored keys are read where they lie and moved as they are read.
BY_KERNELS = "hotseat_kernels"

# Up to this many rows, the query heads that share a key head are attended as more rows of one head. The kernel works in
# blocks of rows, and few rows leave the last block of every head half empty (51 rows, 9 heads over 3: 1.4 x as fast).
FOLDED_ROWS = 128

# Where products are oneDNN's, scores and means are two products a key head: 51 rows over 2,100 keys in 1.0 ms for 2.2.
# Fewer rows or scores are faster as one call of torch's, and more scores than that would take too much memory.
_PRODUCT_ROWS, _LEAST_SCORES, _MOST_SCORES = 16, 2**16, 2**24

# Keywords that change the result and that we do not implement; transformers passes them per layer.
_REFUSED = ("softcap", "s_aux", "sliding_window", "position_bias")


def register() -> None:
    """Make both ways known to transformers; calling it again changes nothing."""
    AttentionInterface.register(MOVE_KEYS, move_keys)
    AttentionInterface.register(MOVE_QUERIES, move_queries)


def move_keys(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    *,
    steps: dict[torch.device, Step],
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Attend one layer's packed rows; query [1, H, T, D], key and value [1, G, T, D], un-rotated."""
    q_THD, k_TGD, v_TGD, step = _enter(module, query, key, value, steps, options)
    layer = int(module.layer_idx)  # type: ignore[arg-type]
    out_THD = torch.empty_like(q_THD)
    for batch in step.batches:
        _attend_batch(step, batch, layer, q_THD, k_TGD, v_TGD, out_THD, scaling)
    for single in step.singles:
        num_view = single.group.view.length
        if num_view:
            k_GKD, v_GKD = _gather(step, single, layer)
        for bundle, calls in zip(single.group.bundles, single.calls, strict=True):
            rows = slice(bundle.first, bundle.stop)
            k_GQD, v_GQD = k_TGD[rows].transpose(0, 1), v_TGD[rows].transpose(0, 1)
            if num_view:
                end = num_view + bundle.num_rows
                k_GKD[:, num_view:end] = k_GQD
                v_GKD[:, num_view:end] = v_GQD
                _attend_bundle(step, calls, num_view, q_THD, k_GKD, v_GKD, out_THD, scaling)
            else:
                _attend_bundle(step, calls, num_view, q_THD, k_GQD, v_GQD, out_THD, scaling)
    return out_THD[None], None


def _attend_batch(
    step: Step,
    batch: Batch,
    layer: int,
    q_THD: torch.Tensor,
    k_TGD: torch.Tensor,
    v_TGD: torch.Tensor,
    out_THD: torch.Tensor,
    scaling: float | None,
) -> None:
    """Attend B small problems of Q rows and K keys in one call; the query heads of a key head are more rows of it."""
    num_heads, num_groups, head_dim = q_THD.shape[1], k_TGD.shape[1], q_THD.shape[2]
    by_key = (-1, batch.num_keys, num_groups, head_dim)
    k_PGD, v_PGD = _gather_batch(step, batch, layer)
    k_PGD.index_copy_(0, batch.own_places_M, k_TGD.index_select(0, batch.own_rows_M))
    v_PGD.index_copy_(0, batch.own_places_M, v_TGD.index_select(0, batch.own_rows_M))
    per_group = num_heads // num_groups
    by_row = (-1, batch.num_rows, num_groups, per_group, head_dim)
    out_BGRD = F.scaled_dot_product_attention(
        q_THD.index_select(0, batch.rows_BQ).view(by_row).transpose(1, 2).flatten(2, 3),
        k_PGD.view(by_key).transpose(1, 2),
        v_PGD.view(by_key).transpose(1, 2),
        attn_mask=step.batch_mask(batch, per_group),
        scale=scaling,
    )
    out_BQHD = out_BGRD.unflatten(2, (batch.num_rows, per_group)).transpose(1, 2).flatten(2, 3)
    out_THD.index_copy_(0, batch.result_places, out_BQHD.flatten(0, 1).index_select(0, batch.results))


def _gather_batch(step: Step, batch: Batch, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the keys of a batch's views at their places and the values, [P, G, D]; behind them there may be anything.

    What an earlier forward has gathered is only looked up.
    """
    keys_NGD, values_NGD = step.pool.keys[layer], step.pool.values[layer]
    if batch.gathered is not None:
        k_PGD, v_PGD = batch.gathered.keys[layer], batch.gathered.values[layer]
    else:
        shape_PGD = (batch.num_places, *keys_NGD.shape[1:])
        k_PGD = step.scratch.empty("batch keys", shape_PGD, keys_NGD)
        v_PGD = step.scratch.empty("batch values", shape_PGD, values_NGD)
    if batch.shown is None:
        return k_PGD, v_PGD
    torch.index_select(values_NGD, 0, batch.shown.slots_P, out=v_PGD)
    if batch.shown.moved_P is None:
        torch.index_select(keys_NGD, 0, batch.shown.slots_P, out=k_PGD)
    else:
        stored_PGD = step.scratch.empty("stored", k_PGD.shape, keys_NGD)
        torch.index_select(keys_NGD, 0, batch.shown.slots_P, out=stored_PGD)
        batch.shown.moved_P.apply(stored_PGD, out=k_PGD)
    return k_PGD, v_PGD


def _gather(step: Step, single: Single, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Copy what a group sees, keys moved to their places, and leave room behind it for the rows of any bundle.

    The keys of a head lie one behind the other, as products want them.
    """
    keys_NGD, values_NGD = step.pool.keys[layer], step.pool.values[layer]
    num_view = single.group.view.length
    num_keys = num_view + max(bundle.num_rows for bundle in single.group.bundles)
    _, num_groups, head_dim = keys_NGD.shape
    k_GKD = step.scratch.empty("keys", (num_groups, num_keys, head_dim), keys_NGD)
    v_GKD = step.scratch.empty("values", (num_groups, num_keys, head_dim), values_NGD)
    stored_SGD = step.scratch.empty("stored", (num_view, num_groups, head_dim), keys_NGD)
    torch.index_select(values_NGD, 0, single.slots_S, out=stored_SGD)
    v_GKD[:, :num_view] = stored_SGD.transpose(0, 1)
    torch.index_select(keys_NGD, 0, single.slots_S, out=stored_SGD)
    if single.moved is None:
        k_GKD[:, :num_view] = stored_SGD.transpose(0, 1)
    else:
        single.moved.apply(stored_SGD, out=k_GKD[:, :num_view].transpose(0, 1))
    return k_GKD, v_GKD


def _enter(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    steps: dict[torch.device, Step],
    options: dict[str, Any],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, Step]:
    """Stop if asked to, refuse what we do not implement, rotate at local positions, and keep what is to be kept."""
    if options["is_stopped"]():
        raise EngineClosed
    refuse_keywords(module, options)
    step = steps[query.device]
    q_THD = step.turned.apply(query[0].transpose(0, 1))
    k_TGD = step.turned.apply(key[0].transpose(0, 1))
    v_TGD = value[0].transpose(0, 1)
    layer = int(module.layer_idx)  # type: ignore[arg-type]
    if step.kept_rows.numel():
        step.pool.keys[layer].index_copy_(0, step.kept_slots, k_TGD.index_select(0, step.kept_rows))
        step.pool.values[layer].index_copy_(0, step.kept_slots, v_TGD.index_select(0, step.kept_rows))
    return q_THD, k_TGD, v_TGD, step


def refuse_keywords(module: torch.nn.Module, options: Mapping[str, Any]) -> None:
    """Raise UnsupportedAttention if a layer asks for something that changes the result and is not implemented."""
    for name in _REFUSED:
        if options.get(name) is not None:
            raise UnsupportedAttention(layer=str(module.layer_idx), keyword=name)


def _attend_bundle(
    step: Step,
    calls: Sequence[Call],
    num_view: int,
    q_THD: torch.Tensor,
    k_GKD: torch.Tensor,
    v_GKD: torch.Tensor,
    out_THD: torch.Tensor,
    scaling: float | None,
) -> None:
    num_groups = k_GKD.shape[0]
    per_group = q_THD.shape[1] // num_groups
    for call in calls:
        here = slice(call.first, call.stop)
        num_rows = call.stop - call.first
        q_QHD, mask_QK = q_THD[here], call.mask_QK
        k_here_GKD, v_here_GKD = k_GKD[:, : call.num_keys], v_GKD[:, : call.num_keys]
        if step.onednn and not call.causal and _are_products_faster(num_rows * per_group, call.num_keys):
            own_mask = step.folded_mask(call, per_group, num_view)
            out_THD[here] = _attend_by_products(q_QHD, k_here_GKD, v_here_GKD, own_mask, scaling)
            continue
        is_folded = per_group > 1 and num_rows <= FOLDED_ROWS and not call.causal
        if is_folded:
            q_QHD = q_QHD.unflatten(1, (num_groups, per_group)).transpose(1, 2).flatten(0, 1)
            mask_QK = step.folded_mask(call, per_group)
        out_1HQD = F.scaled_dot_product_attention(
            q_QHD.transpose(0, 1)[None],
            k_here_GKD[None],
            v_here_GKD[None],
            attn_mask=mask_QK,
            is_causal=call.causal,
            scale=scaling,
            enable_gqa=per_group > 1 and not is_folded,
        )
        out_QHD = out_1HQD[0].transpose(0, 1)
        out_THD[here] = (
            out_QHD.unflatten(0, (num_rows, per_group)).transpose(1, 2).flatten(1, 2) if is_folded else out_QHD
        )


def _are_products_faster(num_rows: int, num_keys: int) -> bool:
    return num_rows >= _PRODUCT_ROWS and _LEAST_SCORES <= num_rows * num_keys <= _MOST_SCORES


def _attend_by_products(
    q_QHD: torch.Tensor,
    k_GKD: torch.Tensor,
    v_GKD: torch.Tensor,
    own_mask: torch.Tensor | None,
    scaling: float | None,
) -> torch.Tensor:
    """Attend some rows to all keys, [Q, H, D]; `own_mask` [Q x H / G, last keys] is added to the scores of those."""
    num_groups, head_dim = k_GKD.shape[0], k_GKD.shape[2]
    k_GKD, v_GKD = (x_GKD if x_GKD[0].is_contiguous() else x_GKD.contiguous() for x_GKD in (k_GKD, v_GKD))
    scale = scaling if scaling is not None else head_dim**-0.5
    by_group_GQPD = (q_QHD * scale).unflatten(1, (num_groups, -1)).transpose(0, 1)
    q_GRD = by_group_GQPD.flatten(1, 2)
    out_GRD = torch.empty_like(q_GRD)
    for group in range(num_groups):
        scores_RK = product(q_GRD[group], k_GKD[group])
        if own_mask is not None:
            scores_RK[:, -own_mask.shape[1] :] += own_mask
        out_GRD[group] = product(scores_RK.softmax(-1), v_GKD[group].T)
    return out_GRD.view(by_group_GQPD.shape).transpose(0, 1).flatten(1, 2)


def move_queries(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    *,
    steps: dict[torch.device, Step],
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """The same result by another way: every placed run is attended where it lies, by a query moved the other way."""
    q_THD, k_TGD, v_TGD, step = _enter(module, query, key, value, steps, options)
    layer = int(module.layer_idx)  # type: ignore[arg-type]
    scale = scaling if scaling is not None else q_THD.shape[-1] ** -0.5
    out_THD = torch.empty_like(q_THD)
    for group in step.groups:
        for bundle in group.bundles:
            rows = slice(bundle.first, bundle.stop)
            sees_QQ = there(visible(bundle.spans, step.layout), query.device)
            own_mask_QQ = torch.zeros(sees_QQ.shape, device=query.device).masked_fill_(~sees_QQ, -torch.inf)
            parts = [_scores_and_mean(q_THD[rows], k_TGD[rows], v_TGD[rows], scale, own_mask_QQ)]
            for piece in group.view.pieces:
                moved = query[0].transpose(0, 1)[rows]
                positions_Q = step.positions_T[rows] - piece.shift
                q_QHD = step.rope.at(positions_Q.abs(), backwards=bool((positions_Q < 0).any())).apply(moved)
                slots = there(piece.run.slots(), q_QHD.device)
                keys, values = step.pool.keys[layer][slots], step.pool.values[layer][slots]
                parts.append(_scores_and_mean(q_QHD, keys, values, scale, None))
            total_QH = torch.stack([lse for _, lse in parts]).logsumexp(0)
            out_QHD = sum((mean * (lse - total_QH).exp()[..., None] for mean, lse in parts), torch.zeros(()))
            out_THD[rows] = out_QHD.to(out_THD.dtype)
    return out_THD[None], None


def _scores_and_mean(
    q_QHD: torch.Tensor, k_KGD: torch.Tensor, v_KGD: torch.Tensor, scale: float, mask_QK: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the attended values [Q, H, D] of one part and the log-sum-exp of its scores [Q, H], in float32."""
    repeats = q_QHD.shape[1] // k_KGD.shape[1]
    k_KHD, v_KHD = k_KGD.repeat_interleave(repeats, 1).float(), v_KGD.repeat_interleave(repeats, 1).float()
    scores_HQK = torch.einsum("qhd,khd->hqk", q_QHD.float(), k_KHD) * scale
    if mask_QK is not None:
        scores_HQK = scores_HQK + mask_QK
    lse_HQ = scores_HQK.logsumexp(-1)
    mean_QHD = torch.einsum("hqk,khd->qhd", (scores_HQK - lse_HQ[..., None]).exp(), v_KHD)
    return mean_QHD, lse_HQ.transpose(0, 1)
