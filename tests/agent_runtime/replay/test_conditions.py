"""Conditions on a report: what they may look like, what they find, and that none passes unchecked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runtime.replay.conditions import Condition, Metrics, check_names, failures, parse_condition
from agent_runtime.replay.errors import BadCondition, NoValue, UnknownMetric

METRICS = Metrics(
    {"refused": 0, "ratio.star_over_full": 0.25, "ratio.star_over_full_low": None},
    {"full": {"ttft_mean_ms": 80.0, "ttft_p50_ms": None}, "star": {"ttft_mean_ms": 20.0, "ttft_p50_ms": 18.0}},
    {"full.ttft_p50_ms": "p50 needs 20 turns"},
)


def failed(*texts: str) -> list[str]:
    return list(failures([parse_condition(text) for text in texts], METRICS))


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("ttft_p50_ms>400", Condition("ttft_p50_ms>400", "ttft_p50_ms", ">", 400)),
        (" star.agreement <= 8e-1 ", Condition("star.agreement <= 8e-1", "star.agreement", "<=", 0.8)),
        ("a==-.5", Condition("a==-.5", "a", "==", -0.5)),
        ("a!=+3.", Condition("a!=+3.", "a", "!=", 3.0)),
        ("a >= 1E3", Condition("a >= 1E3", "a", ">=", 1000)),
    ],
)
def test_a_condition_is_a_metric_an_operator_and_a_number(text: str, condition: Condition) -> None:
    assert parse_condition(text) == condition


@pytest.mark.parametrize(
    "text", ["", "ttft", "ttft>", ">3", "ttft>fast", "ttft=3", "ttft>3 ms", "a>nan", "a>inf", "a>1_0", "a>3>2", "ä>3"]
)
def test_what_is_no_condition_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(BadCondition, match="--fail-if 'ttft_p50_ms>400'"):
        parse_condition(text)


@given(st.text())
def test_no_text_does_anything_but_parse_or_be_refused(text: str) -> None:
    try:
        assert isinstance(parse_condition(text).number, float)
    except BadCondition as error:
        assert repr(text) in str(error)


@pytest.mark.parametrize(
    ("op", "below", "equal", "above"),
    [(">", 0, 0, 1), (">=", 0, 1, 1), ("<", 1, 0, 0), ("<=", 1, 1, 0), ("==", 0, 1, 0), ("!=", 1, 0, 1)],
)
def test_every_operator_means_what_it_says(op: str, below: bool, equal: bool, above: bool) -> None:
    condition = parse_condition(f"x{op}2")
    assert [condition.holds(value) for value in (1, 2, 3)] == [below, equal, above]


def test_a_condition_that_holds_is_said_with_the_value() -> None:
    assert failed("star.ttft_mean_ms>10") == ["star.ttft_mean_ms>10 holds: star.ttft_mean_ms is 20."]
    assert failed("star.ttft_mean_ms>30", "refused>0", "ratio.star_over_full>=0.3") == []


def test_a_metric_without_a_mode_is_asked_of_every_mode() -> None:
    (one,) = failed("ttft_mean_ms>50")
    assert "full.ttft_mean_ms is 80" in one
    assert len(failed("ttft_mean_ms>10")) == 2


def test_a_metric_that_there_is_not_is_an_error_that_names_the_nearest_and_all() -> None:
    with pytest.raises(UnknownMetric) as caught:
        failed("tft_mean>3")
    assert caught.value.nearest == "ttft_mean_ms"
    for name in ("ttft_p50_ms", "refused", "ratio.star_over_full", "full.ttft_mean_ms, star.ttft_mean_ms"):
        assert name in str(caught.value)
    with pytest.raises(UnknownMetric, match=r"No mode 'prefix' is replayed.* There is: full, star\."):
        failed("prefix.ttft_mean_ms>3")
    with pytest.raises(UnknownMetric):
        check_names([parse_condition("star>3")], METRICS)


def test_a_metric_without_a_value_is_an_error_even_if_another_mode_has_one() -> None:
    with pytest.raises(NoValue, match="full.ttft_p50_ms has no value, for p50 needs 20 turns"):
        failed("ttft_p50_ms>400")
    assert failed("star.ttft_p50_ms>400") == []
    with pytest.raises(NoValue, match="was not measured"):
        failed("ratio.star_over_full_low>1")
