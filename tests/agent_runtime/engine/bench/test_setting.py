"""How results are said, and how much room turns need."""

import pytest

from agent_runtime.engine.bench.setting import Sizes, figures, percentile


def test_the_99th_percentile_is_a_value_that_was_measured() -> None:
    assert percentile([float(value) for value in range(1, 201)], 99) == 198.0
    assert percentile([3.0, 1.0], 99) == 3.0
    assert percentile([3.0, 1.0], 50) == 1.0


def test_a_result_stands_beside_its_floor() -> None:
    assert figures([0.002, 0.001, 0.003], 0.0005) == {
        "median_ms": 2.0,
        "p99_ms": 3.0,
        "floor_ms": 0.5,
        "ratio_to_floor": 4.0,
    }


@pytest.mark.parametrize(("observation", "slots"), [(50, 11 * 64), (1, 513 * 16)])
def test_the_turns_of_one_forward_have_tails_in_pages(observation: int, slots: int) -> None:
    assert Sizes(observation, 1, max_rows=512, quiet_rows=512).tail_slots == slots
