"""The kernels against float64 and beside torch's own attention, over small shapes; `tests/gpu` has large ones."""

import random

import pytest
import torch

from agent_runtime.engine.runs import Run
from tests.agent_runtime.engine.gpu import layers
from tests.agent_runtime.engine.gpu.layers import DEVICE, Layer
from tests.agent_runtime.engine.gpu.ragged import FAR, HEADS, KINDS, LARGEST, Scale, errors_of, shape_of

SMALL = Scale(blocks=10, tokens=40, keys=120, rows=9, sessions=3, positions=FAR + 2000)
# Triton's interpreter multiplies bfloat16 as if it were whole numbers.
HALVES = (torch.bfloat16, torch.float16) if DEVICE.type == "cuda" else (torch.float16,)


@pytest.mark.parametrize("dtype", HALVES)
def test_halves_are_as_exact_as_torchs_own_attention_over_keys_rotated_once(dtype: torch.dtype) -> None:
    found = errors_of(range(14), dtype, SMALL)
    assert max(found.ours) < LARGEST[dtype] and found.ratio <= 1.1


def test_singles_are_exact_whatever_the_shape() -> None:
    # Angles are as exact as float32 is: at 100,000 positions that shows.
    found = errors_of(range(7), torch.float32, SMALL)
    assert max(found.ours) < 2e-5


def test_shapes_are_what_they_are_called() -> None:
    layer, told = Layer.of(num_slots=SMALL.keys + SMALL.tokens), []
    for number in range(10 * len(KINDS)):
        kind, runs = KINDS[number % len(KINDS)], list[Run]()
        layout = shape_of(kind, layer, SMALL, random.Random(number), runs)
        lengths, views = [run.length for run in runs], {id(span.view): span.view for span in layout.spans}
        ends = max(span.start + len(span.ids) for span in layout.spans)
        assert 1 <= len(runs) <= SMALL.blocks and max(lengths) <= SMALL.tokens and ends <= SMALL.positions
        assert (kind == "far") <= all(piece.shift >= FAR for view in views.values() for piece in view.pieces)
        assert (kind == "sessions") == (len(views) > 1) and (kind == "most blocks") <= (len(runs) == SMALL.blocks)
        assert (kind == "one-token blocks") <= ({*lengths} == {1})
        told.append((0 in lengths, len(layout.spans) > len(views), any(len(run.extents) > 1 for run in _shown(views))))
        for run in runs:
            layer.pool.release(run)
    assert all(map(any, zip(*told, strict=True))), "some blocks are empty, some rows are answers, some runs are torn"
    layer.pool.check([])


def test_what_kernels_are_held_against_is_computed_where_they_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a device that only knows shapes, and refuses what lies on another: no GPU is needed to see that."""
    monkeypatch.setattr(layers, "DEVICE", torch.device("meta"))
    for number in range(len(KINDS)):
        layer = Layer.of(*HEADS[number % len(HEADS)], num_slots=SMALL.keys + SMALL.tokens)
        layout = shape_of(KINDS[number], layer, SMALL, random.Random(number), [])
        rows = layer.rows(layout)
        for found in (*rows, layer.exact(layout, rows), layer.by_torch(layout, rows)):
            assert found.device.type == "meta"


def _shown(views: dict[int, object]) -> list[Run]:
    return [piece.run for view in views.values() for piece in view.pieces]  # type: ignore[attr-defined]
