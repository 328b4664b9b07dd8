"""The kernel before attention: rows are rotated where they stand, and those that are kept go into the pool.

Shapes: F half the head dimension (padded to a power of two).
"""

# What Triton compiles has types of its own.
# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"

import triton
import triton.language as tl


@triton.jit
def _head(at, norm, inside, factor, eps, HALF: tl.constexpr, F: tl.constexpr, NORMS: tl.constexpr):
    """Return both halves of a head of some rows, in float32."""
    x1 = tl.load(at, mask=inside, other=0.0).to(tl.float32)
    x2 = tl.load(at + HALF, mask=inside, other=0.0).to(tl.float32)
    if NORMS:
        f = tl.arange(0, F)
        scale = tl.rsqrt((tl.sum(x1 * x1, 1) + tl.sum(x2 * x2, 1)) / (2 * HALF) + eps)[:, None]
        x1 = x1 * scale * tl.load(norm + f, mask=f < HALF, other=0.0).to(tl.float32)[None, :]
        x2 = x2 * scale * tl.load(norm + HALF + f, mask=f < HALF, other=0.0).to(tl.float32)[None, :]
    return x1 * factor, x2 * factor


@triton.jit
def enter(
    q_in,
    k_in,
    v_in,
    q_out,
    k_out,
    v_out,
    keys,
    values,
    positions,
    slots,
    cos,
    sin,
    q_plain,
    num_rows,
    q_row,
    q_head,
    k_row,
    k_head,
    v_row,
    v_head,
    factor,
    q_norm,
    k_norm,
    eps,
    HEADS: tl.constexpr,
    GROUPS: tl.constexpr,
    HALF: tl.constexpr,
    F: tl.constexpr,
    ROWS: tl.constexpr,
    NORMS: tl.constexpr,
    PLAIN: tl.constexpr,
):
    """Rotate one head of some rows at their local positions; keys and values with a slot go into the pool, too.

    Queries and keys are multiplied by `factor`, and before that, if `NORMS`, divided by their root mean square. If
    `PLAIN`, queries are written down as they are before they are rotated, too.
    """
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    head = tl.program_id(1)
    is_row = row < num_rows
    f = tl.arange(0, F)
    inside = is_row[:, None] & (f < HALF)[None, :]
    position = tl.load(positions + row, mask=is_row, other=0).to(tl.int64)
    angle = position[:, None] * HALF + f[None, :]
    c = tl.load(cos + angle, mask=inside, other=0.0)
    s = tl.load(sin + angle, mask=inside, other=0.0)
    row = row.to(tl.int64)
    if head < HEADS:
        at = row[:, None] * q_row + head * q_head + f[None, :]
        x1, x2 = _head(q_in + at, q_norm, inside, factor, eps, HALF, F, NORMS)
        to = (row * HEADS + head)[:, None] * 2 * HALF + f[None, :]
        if PLAIN:
            tl.store(q_plain + to, x1.to(q_plain.dtype.element_ty), mask=inside)
            tl.store(q_plain + to + HALF, x2.to(q_plain.dtype.element_ty), mask=inside)
        tl.store(q_out + to, (x1 * c - x2 * s).to(q_out.dtype.element_ty), mask=inside)
        tl.store(q_out + to + HALF, (x2 * c + x1 * s).to(q_out.dtype.element_ty), mask=inside)
    else:
        group = head - HEADS
        at = row[:, None] * k_row + group * k_head + f[None, :]
        x1, x2 = _head(k_in + at, k_norm, inside, factor, eps, HALF, F, NORMS)
        k1 = (x1 * c - x2 * s).to(k_out.dtype.element_ty)
        k2 = (x2 * c + x1 * s).to(k_out.dtype.element_ty)
        at = row[:, None] * v_row + group * v_head + f[None, :]
        v1 = tl.load(v_in + at, mask=inside, other=0.0)
        v2 = tl.load(v_in + at + HALF, mask=inside, other=0.0)
        to = (row * GROUPS + group)[:, None] * 2 * HALF + f[None, :]
        tl.store(k_out + to, k1, mask=inside)
        tl.store(k_out + to + HALF, k2, mask=inside)
        tl.store(v_out + to, v1, mask=inside)
        tl.store(v_out + to + HALF, v2, mask=inside)
        slot = tl.load(slots + row, mask=is_row, other=-1).to(tl.int64)
        kept = inside & (slot >= 0)[:, None]
        to = (slot * GROUPS + group)[:, None] * 2 * HALF + f[None, :]
        tl.store(keys + to, k1, mask=kept)
        tl.store(keys + to + HALF, k2, mask=kept)
        tl.store(values + to, v1, mask=kept)
        tl.store(values + to + HALF, v2, mask=kept)
