"""Norms and gates against torch, in every dtype."""

import pytest
import torch
import torch.nn.functional as F

from agent_runtime.engine.gpu.fused import add_and_norm, gated, norm
from tests.agent_runtime.engine.gpu.layers import DEVICE


def numbers(*shape: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))).to(dtype).to(DEVICE)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("size", [48, 64, 576])
def test_a_sum_and_its_norm(size: int, dtype: torch.dtype) -> None:
    residual, x = numbers(5, size, dtype=dtype), 3 * numbers(5, size, dtype=dtype).flip(0)
    weight = numbers(size, dtype=dtype)
    added = residual + x
    exact = F.rms_norm(added.float(), (size,), weight.float(), 1e-5).to(dtype)
    before = norm(residual, weight, 1e-5)
    torch.testing.assert_close(before, F.rms_norm(residual.float(), (size,), weight.float(), 1e-5).to(dtype))
    total, normed = add_and_norm(residual, x, weight, 1e-5)
    assert torch.equal(total, added) and total is residual
    torch.testing.assert_close(normed, exact)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("width", [40, 1536])
def test_a_gated_activation(width: int, dtype: torch.dtype) -> None:
    both = 4 * numbers(3, 2 * width, dtype=dtype)
    gate, up = both.float().chunk(2, 1)
    torch.testing.assert_close(gated(both), (F.silu(gate) * up).to(dtype), atol=1e-5, rtol=1e-3)
