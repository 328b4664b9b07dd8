"""The kernels on a GPU against float64 and beside torch's own attention, over a hundred and more ragged shapes."""

import pytest
import torch

from tests.agent_runtime.engine.gpu.ragged import FAR, HEADS, KINDS, LARGEST, Scale, errors_of

pytestmark = pytest.mark.gpu

LARGE = Scale(blocks=512, tokens=2000, keys=80_000, rows=64, sessions=5, positions=2 * FAR)
# Each kind of shape with each kind of heads, four times.
NUM_SHAPES = 4 * len(KINDS) * len(HEADS)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_halves_are_as_exact_as_torchs_own_attention_over_keys_rotated_once(dtype: torch.dtype) -> None:
    found = errors_of(range(NUM_SHAPES), dtype, LARGE)
    assert len(found.ours) == NUM_SHAPES >= 100
    assert max(found.ours) <= LARGEST[dtype], f"shape {found.ours.index(max(found.ours))}"
    assert found.ratio <= 1.1, f"{found.ratio:.3f} times torch's mean error"


def test_singles_are_exact_whatever_the_shape() -> None:
    found = errors_of(range(len(KINDS) * len(HEADS)), torch.float32, LARGE)
    assert max(found.ours) < 2e-5, f"shape {found.ours.index(max(found.ours))}"
