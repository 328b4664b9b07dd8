"""The kernel whose warps are specialised: what it computes, by numpy, and what it takes of a GPU, compiled for one."""

import random
from pathlib import Path

import pytest
import torch

from agent_runtime.engine.gpu import attention
from agent_runtime.engine.gpu.tiling import Tile, Tiling, tiling_of
from agent_runtime.engine.span import NOTHING, Placed, Span, View
from tests.agent_runtime.engine.gpu import layers
from tests.agent_runtime.engine.gpu.emulated import EmulatedKernel
from tests.agent_runtime.engine.gpu.layers import Layer, error_of, laid_out
from tests.agent_runtime.engine.gpu.test_kernels import spans_of
from tests.agent_runtime.engine.gpu.test_tiling import compiled, fits

HEAD_DIM = 32


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> EmulatedKernel:
    """Let wide items be attended by the emulated kernel, in float32 and for smaller heads than it is compiled for."""
    made = EmulatedKernel()
    by_triton = attention._attending

    def tiling(dtype: torch.dtype, head_dim: int, *, specialised: bool) -> Tiling:
        return tiling_of(dtype, head_dim)._replace(wide=Tile(128, 64, 12, 4, 1, is_specialised=True))

    monkeypatch.setattr(layers, "tiling_of", tiling)
    monkeypatch.setattr(attention, "_attending", lambda tile: made if tile.is_specialised else by_triton(tile))
    return made


@pytest.mark.parametrize("seed", range(5))
def test_any_mix_of_spans_is_as_in_float64(seed: int, kernel: EmulatedKernel) -> None:
    rng = random.Random(seed)
    heads, groups = ((4, 1), (8, 2), (6, 2), (3, 3), (7, 1))[seed]
    layer = Layer.of(heads, groups, HEAD_DIM, seed=seed, num_slots=8192)
    lengths = [rng.randint(0, rng.choice([5, 90, 200])) for _ in range((0, 1, 5, 30, 12)[seed])]
    actions = [rng.randint(1, 40) for _ in range(rng.randint(0, 3))]
    spans = spans_of(layer, lengths, rng.randint(20, 120), actions)
    for length in (rng.randint(1, 150), rng.randint(30, 60)):  # blocks being encoded, and others that see the same
        spans.append(Span([0] * length, 0, NOTHING, keep=layer.pool.acquire(length)))
        view = View(tuple(Placed(piece.run, piece.shift + 3) for piece in reversed(spans[0].view.pieces)))
        spans.append(Span([0] * (1 + length // 3), view.length, view))
    layout = laid_out(*spans)
    rows = layer.rows(layout)
    exact = layer.exact(layout, rows)
    for num_multiprocessors in (1, 3, 8):  # many rounds of the ring to a program, and few
        assert error_of(layer.attend(layout, rows, num_multiprocessors), exact) < 2e-6
    assert kernel.launches == 3


def test_it_fits_a_multiprocessor_and_its_products_are_not_serialised(tmp_path: Path) -> None:
    found = compiled(tmp_path, "bfloat16:128:specialised", "float16:128:specialised")
    assert len(found) == 2 and [each for each in found if not fits(each)] == []
    assert [each["warnings"] for each in found] == [[], []]
