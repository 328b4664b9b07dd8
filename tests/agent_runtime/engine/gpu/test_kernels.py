"""The kernels against float64, over ragged shapes. `make test-gpu` runs these on a GPU, too, and there in bfloat16."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_runtime.engine.span import NOTHING, Placed, Span, View
from tests.agent_runtime.engine.gpu.layers import DEVICE, Layer, error_of, laid_out
from tests.agent_runtime.engine.worlds import view_of

LARGEST = {torch.float32: 2e-6, torch.float16: 1e-3, torch.bfloat16: 5e-3}
# Triton's interpreter multiplies bfloat16 as if it were whole numbers.
DTYPES = [dtype for dtype in LARGEST if dtype is not torch.bfloat16 or DEVICE.type == "cuda"]


def spans_of(layer: Layer, lengths: list[int], rows: int, actions: list[int]) -> list[Span]:
    view = view_of(layer.blocks(lengths))
    observation = Span([0] * rows, view.length, view)
    end = view.length + rows
    return [observation, *[Span([0] * n, end, view, parent=observation) for n in actions]]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("num_heads", "num_groups", "head_dim"), [(4, 2, 64), (6, 2, 96), (4, 1, 128), (3, 3, 32)])
def test_an_observation_with_actions_behind_blocks(
    num_heads: int, num_groups: int, head_dim: int, dtype: torch.dtype
) -> None:
    layer = Layer.of(num_heads, num_groups, head_dim, dtype)
    layout = laid_out(*spans_of(layer, [7, 1, 60, 3, 33], 19, [1, 4, 2]))
    rows = layer.rows(layout)
    assert error_of(layer.attend(layout, rows), layer.exact(layout, rows)) < LARGEST[dtype]


@settings(max_examples=10, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 90), max_size=12),
    others=st.lists(st.tuples(st.integers(1, 40), st.integers(0, 12)), max_size=4),
    rows=st.integers(1, 70),
    actions=st.lists(st.integers(1, 4), max_size=3),
    seed=st.integers(0, 2**16),
)
def test_any_mix_of_spans(
    lengths: list[int], others: list[tuple[int, int]], rows: int, actions: list[int], seed: int
) -> None:
    layer = Layer.of(seed=seed)
    spans = spans_of(layer, lengths, rows, actions)
    for length, shift in others:  # blocks being encoded, and other sessions that see the same slots elsewhere
        spans.append(Span([0] * length, 0, NOTHING, keep=layer.pool.acquire(length)))
        view = View(tuple(Placed(piece.run, piece.shift + shift) for piece in reversed(spans[0].view.pieces)))
        spans.append(Span([0] * (1 + shift), view.length, view))
    layout = laid_out(*spans)
    given_rows = layer.rows(layout)
    assert error_of(layer.attend(layout, given_rows), layer.exact(layout, given_rows)) < LARGEST[torch.float32]


def test_branches_of_branches_however_they_are_listed() -> None:
    layer = Layer.of()
    root, first, *branches = spans_of(layer, [30], 6, [3, 2, 70])
    view, end = root.view, first.start + 3
    twigs = [Span([0] * n, end, view, parent=first) for n in (1, 5)]
    leaf = Span([0] * 2, end + 5, view, parent=twigs[1])
    other = Span([0] * 4, 30, view)
    layout = laid_out(root, other, first, *branches, *twigs, leaf, Span([0], 34, view, parent=other))
    rows = layer.rows(layout)
    assert error_of(layer.attend(layout, rows), layer.exact(layout, rows)) < LARGEST[torch.float32]


def test_long_views_are_split_and_the_result_does_not_depend_on_who_is_ready_first() -> None:
    layer = Layer.of(num_slots=2048)
    layout = laid_out(*spans_of(layer, [500, 700, 3, 480], 21, [2, 2]))
    rows = layer.rows(layout)
    exact = layer.exact(layout, rows)
    many = layer.attend(layout, rows, num_multiprocessors=64)
    assert error_of(many, exact) < LARGEST[torch.float32]
    assert torch.equal(many, layer.attend(layout, rows, num_multiprocessors=64))
    assert error_of(layer.attend(layout, rows, num_multiprocessors=1), exact) < LARGEST[torch.float32]


def test_a_long_prompt_of_one_span_sees_itself_causally_and_is_kept() -> None:
    layer = Layer.of(num_heads=2, num_groups=2)
    run = layer.pool.acquire(300)
    span = Span([0] * 300, 5, NOTHING, keep=run)
    layout = laid_out(span)
    q, k, v = layer.rows(layout)
    assert error_of(layer.attend(layout, (q, k, v)), layer.exact(layout, (q, k, v))) < LARGEST[torch.float32]
    slots = torch.from_numpy(run.slots()).to(DEVICE)
    positions = torch.arange(5, 305, device=DEVICE)
    turned = layer.rope.at(positions).apply(k[0].transpose(0, 1))
    torch.testing.assert_close(layer.pool.keys[0][slots], turned)
    assert torch.equal(layer.pool.values[0][slots], v[0].transpose(0, 1))


def test_rows_that_are_not_kept_leave_the_pool_as_it_is() -> None:
    layer = Layer.of()
    layout = laid_out(*spans_of(layer, [20], 9, [3]))
    before = layer.pool.keys[0].clone(), layer.pool.values[0].clone()
    layer.attend(layout, layer.rows(layout))
    assert torch.equal(layer.pool.keys[0], before[0]) and torch.equal(layer.pool.values[0], before[1])


def test_keys_are_moved_over_100_000_positions() -> None:
    layer = Layer.of(num_positions=110_000)
    run = layer.pool.acquire(40)
    layout = laid_out(Span([0] * 5, 100_100, View((Placed(run, 100_000),))))
    rows = layer.rows(layout)
    assert error_of(layer.attend(layout, rows), layer.exact(layout, rows)) < 2e-5
