"""The report of a replay: what is summed up over which turns, what is said of it, JSON without surprises."""

import json
from collections import Counter
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest

from agent_runtime.replay.report import (
    ConstantAction,
    ModeReport,
    ReplayReport,
    TurnSample,
    constant_action,
    paired_ratio,
    remarks,
    report_mode,
)
from agent_runtime.turn import Mode, Outcome


def sample(ttft_ms: float | None = 1.0, **figures: float | bool) -> TurnSample:
    outcome = Outcome.OK if ttft_ms is not None else Outcome.OVERLOADED
    return TurnSample("s", 1, outcome, ttft_ms=ttft_ms, **figures)  # type: ignore[arg-type]


def report(*samples: TurnSample, others: dict[str, list[TurnSample]] | None = None) -> ReplayReport:
    mode = report_mode("star", Mode.STAR, samples, others or {}, background_rows=5, background_forwards=1)
    return ReplayReport(Path("match.jsonl"), "duel", "star", "tiny", False, (mode,), 0, (), {"torch": "2"})


def test_a_ratio_compares_the_turns_that_both_finished() -> None:
    mine = [sample(1.0), sample(None), sample(3.0)]
    other = [sample(10.0), sample(5.0), sample(30.0)]
    ratio = paired_ratio(mine, other)
    assert ratio is not None and (ratio.value, ratio.turns) == (pytest.approx(0.1), 2)
    assert paired_ratio([sample(None)], [sample(1.0)]) is None


def test_a_turn_that_was_cold_on_either_side_is_in_no_ratio_and_in_no_time() -> None:
    mine = [sample(100.0, cold=True), sample(2.0), sample(4.0)]
    other = [sample(8.0), sample(800.0, cold=True), sample(8.0)]
    ratio = paired_ratio(mine, other)
    assert ratio is not None and (ratio.value, ratio.turns) == (0.5, 1)
    mode = report(*mine).modes[0]
    assert mode.turns == 3 and mode.ttft_ms is not None and mode.ttft_ms.max == 4
    assert mode.cold.turns == 1 and mode.cold.ttft_ms is not None and mode.cold.ttft_ms.mean == 100


def test_means_are_over_the_turns_that_have_a_figure() -> None:
    mode = report(
        sample(
            1.0,
            as_recorded=True,
            tokens_computed=10,
            same_best=True,
            logprob_off=0.5,
            total_variation=0.1,
            legal_mass=0.5,
        ),
        sample(
            3.0,
            as_recorded=False,
            tokens_computed=20,
            same_best=True,
            logprob_off=2.0,
            total_variation=0.3,
            legal_mass=0.1,
        ),
        sample(None),
    ).modes[0]
    assert mode.turns == 3
    assert mode.outcomes == {"ok": 2, "overloaded": 1}
    assert (mode.as_recorded, mode.same_best, mode.tokens_computed) == (0.5, 1.0, 15)
    assert (mode.logprob_off_max, mode.total_variation_max) == (2.0, 0.3)
    assert mode.total_variation_mean == pytest.approx(0.2)
    assert mode.ttft_ms is not None and mode.ttft_ms.mean == 2.0
    assert (mode.legal_mass_min, mode.legal_mass_median) == (0.1, pytest.approx(0.3))


def test_the_rate_of_missed_deadlines_is_over_the_turns_that_had_one() -> None:
    met = [sample(1.0, deadline_met=True)] * 3 + [sample(None, deadline_met=False), sample(1.0)]
    assert report(*met).modes[0].deadline_miss_rate == 0.25
    assert report(sample(1.0)).modes[0].deadline_miss_rate is None


def test_json_has_every_figure_and_leaves_out_percentiles_that_are_luck() -> None:
    told = json.loads(json.dumps(report(sample(2.0), others={"full": [sample(8.0)]}).as_json(), allow_nan=False))
    assert (told["format"], told["version"], told["game"]) == ("hotseat.replay", 2, "duel")
    (mode,) = told["modes"]
    assert mode["ttft_ms"] == {"mean": 2.0, "max": 2.0}
    assert mode["ratios"] == {"full": 0.25}
    assert mode["ratio_intervals"] == {"full": {"value": 0.25, "low": None, "high": None, "turns": 1}}
    assert mode["cold"] == {"turns": 0, "ttft_ms": {}, "engine_ms": {}}
    assert mode["background_rows"] == 5
    assert mode["same_best"] is None
    assert "samples" not in mode


def test_a_mode_that_finished_no_turn_has_no_times() -> None:
    told = report(sample(None)).as_json()["modes"][0]
    assert told["ttft_ms"] == {}
    assert told["tokens_computed"] is None


def test_json_with_turns_is_the_same_with_a_line_for_each_turn() -> None:
    made = report(sample(2.0, cold=True, best="go"), sample(None, as_recorded=False))
    out = StringIO()
    made.write_json(out)
    told = json.loads(out.getvalue())
    turn = {"mode": "star", "session": "s", "turn_id": 1, "copy": 0}
    assert told.pop("turns") == [
        {**turn, "outcome": "ok", "ttft_ms": 2.0, "cold": True, "best": "go"},
        {**turn, "outcome": "overloaded", "as_recorded": False, "cold": False},
    ]
    assert told == json.loads(json.dumps(made.as_json()))
    without = StringIO()
    made.write_json(without, turns=False)
    assert json.loads(without.getvalue()) == told


def test_the_constant_action_is_the_one_recorded_most_often() -> None:
    assert constant_action(Counter({"fold": 3, "call": 5, "raise": 2})) == ConstantAction("call", 0.5)
    assert constant_action(Counter()) is None


# What is said of it.


def lane(label: str, mode: Mode, times: list[float], others: dict[str, list[float]], **figures: float) -> ModeReport:
    rivals = {rival: [sample(each) for each in each_times] for rival, each_times in others.items()}
    made = report_mode(label, mode, [sample(each) for each in times], rivals, background_rows=0, background_forwards=0)
    return replace(made, **figures)  # type: ignore[arg-type]


def said(*modes: ModeReport, constant: ConstantAction | None = None) -> str:
    return " ".join(remarks(replace(report(sample()), modes=modes, constant_action=constant)))


EQUAL = [10.0, 12.0, 11.0, 9.0, 10.0, 11.0]
ALIKE = [11.0, 10.0, 12.0, 10.0, 9.0, 11.0]


def test_an_interval_that_contains_one_is_said() -> None:
    full = lane("full", Mode.FULL, ALIKE, {})
    text = said(full, lane("star", Mode.STAR, EQUAL, {"full": ALIKE}))
    assert "star over full is 1 (" in text and "the interval contains 1, so no difference was measured" in text
    assert said(full, lane("star", Mode.STAR, [each / 5 for each in EQUAL], {"full": ALIKE})) == ""


def test_a_pair_is_spoken_of_once() -> None:
    one = lane("full", Mode.FULL, EQUAL, {"prefix": ALIKE})
    assert said(one, lane("prefix", Mode.PREFIX, ALIKE, {"full": EQUAL})).count("contains 1") == 1


def test_the_same_mode_twice_is_said_to_be_noise() -> None:
    star = lane("star", Mode.STAR, ALIKE, {})
    assert "So much is the noise of this machine" in said(star, lane("star (2)", Mode.STAR, EQUAL, {"star": ALIKE}))
    slower = lane("star (2)", Mode.STAR, [2 * each for each in EQUAL], {"star": ALIKE})
    assert "too noisy to believe" in said(star, slower)


def test_ratios_without_an_interval_are_said() -> None:
    full = lane("full", Mode.FULL, EQUAL[:4], {})
    assert "fewer than 5 turns have no interval" in said(full, lane("star", Mode.STAR, EQUAL[:4], {"full": ALIKE[:4]}))


def test_what_ended_a_replay_early_comes_first() -> None:
    early = replace(report(sample(cold=True)), ended="The server ended the connection.")
    assert next(remarks(early)) == "The recording was not played to its end: The server ended the connection."
    assert early.as_json()["ended"] == "The server ended the connection."


def test_agreement_that_a_constant_would_reach_is_said() -> None:
    star = lane("star", Mode.STAR, EQUAL, {}, as_recorded=0.4)
    assert "recorded action in 40 % of turns; always 'fold' would have in 55 %" in said(
        star, constant=ConstantAction("fold", 0.55)
    )
    assert said(star, constant=ConstantAction("fold", 0.35)) == ""
