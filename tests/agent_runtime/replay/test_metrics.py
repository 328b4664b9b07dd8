"""The figures of a report by name."""

from dataclasses import replace
from pathlib import Path

import pytest

from agent_runtime.replay.conditions import Metrics, failures, parse_condition
from agent_runtime.replay.errors import NoValue
from agent_runtime.replay.metrics import metric_label, metrics_of, metrics_to_come
from agent_runtime.replay.report import ConstantAction, ReplayReport, TurnSample, lane_labels, report_mode, rival_labels
from agent_runtime.turn import Mode, Outcome

MODES = (Mode.FULL, Mode.STAR, Mode.STAR)


def metrics(num_turns: int, **figures: float | bool) -> Metrics:
    lanes = {
        label: [
            TurnSample("s", turn, Outcome.OK, ttft_ms=scale * (1 + turn % 3), **figures)  # type: ignore[arg-type]
            for turn in range(num_turns)
        ]
        for label, scale in zip(lane_labels(MODES), (40.0, 4.0, 4.0), strict=True)
    }
    rivals = {label: lanes[label] for label in rival_labels(MODES)}
    modes = tuple(
        report_mode(
            label,
            mode,
            lanes[label],
            {rival: samples for rival, samples in rivals.items() if rival != label},
            background_rows=7,
            background_forwards=1,
        )
        for label, mode in zip(lanes, MODES, strict=True)
    )
    report = ReplayReport(Path("m"), "duel", "star", "tiny", False, modes, 3, ("One.",), {})
    return metrics_of(replace(report, constant_action=ConstantAction("go", 0.5)))


def test_lanes_are_named_as_conditions_write_them() -> None:
    assert lane_labels(MODES) == ("full", "star", "star (2)")
    assert [metric_label(label) for label in lane_labels(MODES)] == ["full", "star", "star_2"]
    assert rival_labels(MODES) == ("full", "star")


def test_what_is_to_come_has_the_names_of_what_comes() -> None:
    coming, come = metrics_to_come(MODES), metrics(5)
    assert coming.general.keys() == come.general.keys()
    assert {label: figures.keys() for label, figures in coming.lanes.items()} == {
        label: figures.keys() for label, figures in come.lanes.items()
    }
    assert set(coming.general.values()) == {None}


def test_figures_are_those_of_the_report() -> None:
    made = metrics(30, as_recorded=True, legal_mass=0.25, deadline_met=False, engine_ms=2.0, same_best=True)
    star = made.lanes["star"]
    assert (star["ttft_mean_ms"], star["ttft_p50_ms"], star["ttft_max_ms"]) == (8, 8, 12)
    assert (star["engine_mean_ms"], star["turns"], star["ok_rate"]) == (2, 30, 1)
    assert (star["agreement"], star["same_best"], star["deadline_miss_rate"], star["legal_mass_min"]) == (1, 1, 1, 0.25)
    assert (made.general["refused"], made.general["warnings"], made.general["constant_agreement"]) == (3, 1, 0.5)
    assert made.general["ratio.star_over_full"] == pytest.approx(0.1)
    assert made.general["ratio.star_2_over_star_low"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("condition", "why"),
    [
        ("star.ttft_p95_ms>1", "p95 needs 200 turns that were no cold starts"),
        ("deadline_miss_rate>0", "no turn had a deadline"),
        ("same_best<1", "mode full, which was not replayed"),
        ("agreement<1", "no turn has a recorded action"),
        ("cold_ttft_max_ms>1", "no turn was a cold start"),
        ("late_p99_ms>1", "no turn was due at a time of its own"),
        ("engine_p50_ms>1", "no turn that was timed was warm"),
        ("ratio.star_over_full_high>1", "the two share fewer than 5 turns"),
    ],
)
def test_what_was_not_measured_says_why(condition: str, why: str) -> None:
    with pytest.raises(NoValue, match=why):
        list(failures([parse_condition(condition)], metrics(4)))
