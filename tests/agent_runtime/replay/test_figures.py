"""Figures of a replay: percentiles that mean something, and ratios whose intervals hold the truth."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runtime.replay.figures import Ratio, Times, percentile, ratio_of_means, student_t


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=1200), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_percentile_has_at_least_ten_turns_beyond_it_and_its_share_below(times: list[float], share: float) -> None:
    ordered = sorted(times)
    value = percentile(ordered, share)
    if value is None:
        assert (1 - share) * len(times) < 11
    else:
        assert sum(time <= value for time in times) >= share * len(times)
        assert sum(time < value for time in times) < share * len(times)
        assert len(times) * (1 - share) >= 10 - 1e-6


@pytest.mark.parametrize(
    ("turns", "known"),
    [(19, ""), (20, "p50"), (199, "p50"), (200, "p50 p95"), (999, "p50 p95"), (1000, "p50 p95 p99")],
)
def test_percentiles_that_are_luck_are_left_out(turns: int, known: str) -> None:
    times = Times.of([float(each) for each in range(turns)])
    assert times is not None
    assert [name for name in ("p50", "p95", "p99") if getattr(times, name) is not None] == known.split()
    assert times.max == turns - 1


def test_the_95th_percentile_of_200_turns_is_the_190th() -> None:
    shuffled = random.Random(0).sample(range(1, 201), 200)
    times = Times.of([float(each) for each in shuffled])
    assert times == Times(mean=100.5, p50=100.0, p95=190.0, p99=None, max=200.0)


def test_a_ratio_is_one_of_means() -> None:
    ratio = ratio_of_means([[1.0, 3.0]], [[10.0, 30.0]])
    assert ratio == Ratio(pytest.approx(0.1), None, None, 2)  # type: ignore[arg-type]
    assert ratio_of_means([[]], [[]]) is None
    assert ratio_of_means([[0.0]], [[1.0]]) is None


def test_a_ratio_of_ratios_takes_what_both_have_in_common_out() -> None:
    draw = random.Random(3)
    weather = [draw.uniform(1, 5) for _ in range(40)]
    mine, other = [2 * each for each in weather], [4 * each for each in weather]
    ratio = ratio_of_means([mine, other], [other, mine])
    assert ratio is not None and ratio.value == pytest.approx(1)
    assert ratio.low == pytest.approx(1) and ratio.high == pytest.approx(1)


def test_equal_turns_leave_no_doubt_and_different_ones_do() -> None:
    sure = ratio_of_means([[2.0] * 6], [[4.0] * 6])
    assert sure is not None and (sure.low, sure.high) == (pytest.approx(0.5), pytest.approx(0.5))
    unsure = ratio_of_means([[2.0, 9.0, 1.0, 4.0, 3.0]], [[4.0, 4.0, 5.0, 1.0, 6.0]])
    assert unsure is not None and unsure.low is not None and unsure.high is not None
    assert unsure.low < unsure.value < unsure.high
    assert unsure.holds_one is True and sure.holds_one is False


@given(
    st.lists(st.tuples(st.floats(0.1, 1e4), st.floats(0.1, 1e4)), min_size=5, max_size=40),
    st.floats(0.01, 100),
)
def test_an_interval_moves_with_the_unit_and_turns_over_with_the_ratio(
    pairs: list[tuple[float, float]], unit: float
) -> None:
    above, below = ([each[side] for each in pairs] for side in (0, 1))
    ratio = ratio_of_means([above], [below])
    scaled = ratio_of_means([[unit * each for each in above]], [below])
    upside_down = ratio_of_means([below], [above])
    assert ratio and scaled and upside_down and ratio.low and ratio.high and upside_down.low and scaled.low
    assert scaled.value == pytest.approx(unit * ratio.value)
    assert scaled.low == pytest.approx(unit * ratio.low)
    assert upside_down.value == pytest.approx(1 / ratio.value)
    assert upside_down.low == pytest.approx(1 / ratio.high)


def test_students_t_is_that_of_the_tables() -> None:
    tables = {4: 2.776, 5: 2.571, 9: 2.262, 19: 2.093, 29: 2.045, 120: 1.980}
    for degrees, point in tables.items():
        assert student_t(degrees) == pytest.approx(point, abs=1e-3)


@pytest.mark.parametrize("spikes", [0.0, 0.05])
@pytest.mark.parametrize("turns", [5, 10, 30, 100])
def test_intervals_hold_the_truth_about_as_often_as_they_say(turns: int, spikes: float) -> None:
    draw = random.Random(turns)
    # Of lognormal turns, each as long as its prompt is in both modes, with noise of its own and now and then a spike.
    truth = 0.4
    held, runs = 0, 400
    for _ in range(runs):
        sizes = [draw.lognormvariate(0, 0.5) for _ in range(turns)]
        above, below = (
            [scale * size * draw.lognormvariate(0, 0.2) * (4 if draw.random() < spikes else 1) for size in sizes]
            for scale in (40, 100)
        )
        ratio = ratio_of_means([above], [below])
        assert ratio is not None and ratio.low is not None and ratio.high is not None
        held += ratio.low <= truth <= ratio.high
        assert math.isfinite(ratio.high)
    assert 0.90 <= held / runs <= 0.985
