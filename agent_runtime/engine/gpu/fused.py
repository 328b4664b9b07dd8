"""What lies between matrix products, one kernel each: a residual and its norm, a gated activation.

Sums and products are done in float32 and rounded once.
"""

# What Triton compiles has types of its own.
# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"

import torch
import triton
import triton.language as tl

_BLOCK = 1024
# A product and a sum in one instruction, rounded once; Triton's own default changes between its versions.
FUSION = True


@triton.jit
def _add_and_norm(
    x, added, weight, residual_out, normed_out, eps, SIZE: tl.constexpr, E: tl.constexpr, ADDS: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    e = tl.arange(0, E)
    inside = e < SIZE
    value = tl.load(x + row * SIZE + e, mask=inside, other=0.0)
    if ADDS:
        more = tl.load(added + row * SIZE + e, mask=inside, other=0.0)
        value = (value.to(tl.float32) + more.to(tl.float32)).to(value.dtype)
        tl.store(residual_out + row * SIZE + e, value, mask=inside)
    exact = value.to(tl.float32)
    scale = tl.rsqrt(tl.sum(exact * exact, 0) / SIZE + eps)
    normed = exact * scale * tl.load(weight + e, mask=inside, other=0.0).to(tl.float32)
    tl.store(normed_out + row * SIZE + e, normed.to(value.dtype), mask=inside)


@triton.jit
def _gate(both, out, WIDTH: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    i = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = i < WIDTH
    gate = tl.load(both + row * 2 * WIDTH + i, mask=inside, other=0.0)
    up = tl.load(both + row * 2 * WIDTH + WIDTH + i, mask=inside, other=0.0)
    exact = gate.to(tl.float32)
    exact = exact / (1.0 + tl.exp(-exact)) * up.to(tl.float32)
    tl.store(out + row * WIDTH + i, exact.to(gate.dtype), mask=inside)


def norm(x_TE: torch.Tensor, weight_E: torch.Tensor, eps: float) -> torch.Tensor:
    """Return rows divided by their root mean square, times `weight_E`."""
    out_TE = torch.empty_like(x_TE)
    size = x_TE.shape[1]
    _add_and_norm[(x_TE.shape[0],)](
        x_TE,
        x_TE,
        weight_E,
        out_TE,
        out_TE,
        eps,
        SIZE=size,
        E=triton.next_power_of_2(size),
        ADDS=False,
        enable_fp_fusion=FUSION,
    )
    return out_TE


def add_and_norm(
    residual_TE: torch.Tensor, x_TE: torch.Tensor, weight_E: torch.Tensor, eps: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the sum of both and its norm as `norm` makes it; the sum is written over the first."""
    out_TE = torch.empty_like(x_TE)
    size = x_TE.shape[1]
    _add_and_norm[(x_TE.shape[0],)](
        residual_TE,
        x_TE,
        weight_E,
        residual_TE,
        out_TE,
        eps,
        SIZE=size,
        E=triton.next_power_of_2(size),
        ADDS=True,
        enable_fp_fusion=FUSION,
    )
    return residual_TE, out_TE


def gated(both_TI: torch.Tensor) -> torch.Tensor:
    """Return silu of the first half of every row, times the second half."""
    num_rows, width = both_TI.shape[0], both_TI.shape[1] // 2
    out_TI = both_TI.new_empty((num_rows, width))
    _gate[(num_rows, triton.cdiv(width, _BLOCK))](both_TI, out_TI, WIDTH=width, BLOCK=_BLOCK, enable_fp_fusion=FUSION)
    return out_TI
