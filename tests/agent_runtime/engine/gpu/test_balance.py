"""All programs get about equal work, whatever the work looks like."""

import random
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agent_runtime.engine.gpu import balance
from agent_runtime.engine.gpu.balance import cut, loads, longest_unit
from agent_runtime.engine.gpu.planning import plan_work
from agent_runtime.engine.gpu.tiling import tiling_of
from agent_runtime.engine.gpu.work_list import ITEM_FIELDS, Shape
from agent_runtime.engine.layout import lay_out
from agent_runtime.engine.runs import Run
from agent_runtime.engine.span import NOTHING, Span, view_of_blocks

# Llama 8B's heads on a GPU of 132 multiprocessors.
SHAPE = Shape(4, 8, 131_072, tiling_of(torch.bfloat16, 128), 132)


def spans(num_blocks: int, length: int, sessions: int, rows: int, num_encoded: int = 0) -> list[Span]:
    runs = [Run(((number * length, length),), length) for number in range(num_blocks)]
    orders = [random.Random(seed).sample(runs, num_blocks) for seed in range(sessions)]
    views = [view_of_blocks(order, anchored=False) for order in orders]
    encoded = [Span([0] * length, 0, NOTHING, keep=run) for run in runs[:num_encoded]]
    return [*encoded, *[Span([0] * rows, view.behind, view) for view in views]]


@pytest.mark.parametrize(
    "made",
    [
        lambda: spans(1, 32_768, 1, 50),
        lambda: spans(300, 85, 1, 50),
        lambda: spans(300, 85, 1, 50, num_encoded=2),
        lambda: spans(32, 1024, 16, 50),
        lambda: spans(100, 260, 64, 1),
    ],
    ids=["one run of 32K", "300 blocks", "two of them encoded", "16 sessions", "64 that decode"],
)
def test_the_longest_program_takes_little_more_than_the_mean(
    made: Callable[[], list[Span]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[int]] = []

    def remembered(lengths: list[int]) -> object:
        asked.append(lengths)
        return order(lengths)

    order = balance.longest_first
    monkeypatch.setattr("agent_runtime.engine.gpu.items.longest_first", remembered)
    plan_work(lay_out(made()), SHAPE)
    kind = max(range(3), key=lambda kind: sum(asked[kind]))
    found = loads(asked[kind], SHAPE.num_groups, SHAPE.num_programs(kind))
    assert found.sum() == 8 * sum(asked[kind]) and found.max() <= 1.1 * found.mean()


def test_the_same_forward_is_planned_the_same_wherever_its_blocks_lie_in_memory() -> None:
    one, other = (plan_work(lay_out(spans(30, 260, 5, 7)), SHAPE) for _ in range(2))
    assert all((one.parts[name] == other.parts[name]).all() for name in one.parts)


@given(
    lengths=st.lists(st.integers(1, 600), min_size=1, max_size=40),
    num_heads=st.integers(1, 16),
    num_programs=st.integers(1, 300),
)
def test_units_are_all_of_a_stream_and_no_program_is_left_far_behind(
    lengths: list[int], num_heads: int, num_programs: int
) -> None:
    unit = longest_unit(lengths, num_heads, num_programs)
    cuts = [cut(length, unit) for length in lengths]
    units = [end - begin for places in cuts for begin, end in zip(places, places[1:], strict=False)]
    assert sum(units) == sum(lengths) and max(units) <= max(unit, 4) and min(units) >= 1
    found = loads(units, num_heads, num_programs)
    assert found.sum() == num_heads * sum(lengths)
    assert found.max() <= found.mean() + max(units) or max(units) == max(lengths)


def test_work_goes_out_the_longest_first_and_what_ties_stays_as_it_was() -> None:
    assert balance.longest_first([3, 5, 5, 1]).tolist() == [1, 2, 0, 3]
    assert loads([1, 4, 3, 2], 1, 2).tolist() == [5, 5]


def test_items_over_the_same_keys_stand_beside_each_other() -> None:
    arrays = plan_work(lay_out(spans(1, 32_768, 4, 50)), SHAPE)
    items = arrays.parts["shared"].reshape(-1, ITEM_FIELDS)
    first_runs = items[:, 2].tolist()
    assert len(set(first_runs)) > 1 and first_runs == [run for run in dict.fromkeys(first_runs) for _ in range(7)]
