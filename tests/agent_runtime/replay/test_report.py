"""Figures of a replay: percentiles that mean something, ratios over the same turns, JSON without surprises."""

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runtime.replay.report import ReplayReport, Times, TurnSample, paired_ratio, percentile, report_mode
from agent_runtime.turn import Mode, Outcome


def sample(ttft_ms: float | None = 1.0, **figures: float | bool) -> TurnSample:
    outcome = Outcome.OK if ttft_ms is not None else Outcome.OVERLOADED
    return TurnSample("s", 1, outcome, ttft_ms=ttft_ms, **figures)  # type: ignore[arg-type]


def report(*samples: TurnSample, others: dict[str, list[TurnSample]] | None = None) -> ReplayReport:
    mode = report_mode("star", Mode.STAR, samples, others or {}, background_rows=5, background_forwards=1)
    return ReplayReport(Path("match.jsonl"), "duel", "star", "tiny", False, (mode,), 0, (), {"torch": "2"})


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=300), st.sampled_from([0.5, 0.95]))
def test_a_percentile_has_at_least_ten_turns_beyond_it_and_its_share_below(times: list[float], share: float) -> None:
    ordered = sorted(times)
    value = percentile(ordered, share)
    if value is None:
        assert (1 - share) * len(times) < 11
    else:
        assert sum(time <= value for time in times) >= share * len(times)
        assert sum(time < value for time in times) < share * len(times)
        assert len(times) * (1 - share) >= 10 - 1e-6


@pytest.mark.parametrize(("turns", "p50", "p95"), [(19, False, False), (20, True, False), (199, True, False)])
def test_percentiles_that_are_luck_are_left_out(turns: int, p50: bool, p95: bool) -> None:
    times = Times.of([float(each) for each in range(turns)])
    assert times is not None
    assert (times.p50 is not None, times.p95 is not None) == (p50, p95)
    assert times.max == turns - 1


def test_the_95th_percentile_of_200_turns_is_the_190th() -> None:
    shuffled = random.Random(0).sample(range(1, 201), 200)
    times = Times.of([float(each) for each in shuffled])
    assert times == Times(mean=100.5, p50=100.0, p95=190.0, max=200.0)


def test_a_ratio_compares_the_turns_that_both_finished() -> None:
    mine = [sample(1.0), sample(None), sample(3.0)]
    other = [sample(10.0), sample(5.0), sample(30.0)]
    assert paired_ratio(mine, other) == pytest.approx(0.1)
    assert paired_ratio([sample(None)], [sample(1.0)]) is None


def test_means_are_over_the_turns_that_have_a_figure() -> None:
    mode = report(
        sample(1.0, as_recorded=True, tokens_computed=10, same_best=True, logprob_off=0.5, total_variation=0.1),
        sample(3.0, as_recorded=False, tokens_computed=20, same_best=True, logprob_off=2.0, total_variation=0.3),
        sample(None),
    ).modes[0]
    assert mode.turns == 3
    assert mode.outcomes == {"ok": 2, "overloaded": 1}
    assert (mode.as_recorded, mode.same_best, mode.tokens_computed) == (0.5, 1.0, 15)
    assert (mode.logprob_off_max, mode.total_variation_max) == (2.0, 0.3)
    assert mode.total_variation_mean == pytest.approx(0.2)
    assert mode.ttft_ms is not None and mode.ttft_ms.mean == 2.0


def test_json_has_every_figure_and_leaves_out_percentiles_that_are_luck() -> None:
    told = json.loads(json.dumps(report(sample(2.0), others={"full": [sample(8.0)]}).as_json(), allow_nan=False))
    assert (told["format"], told["version"], told["game"]) == ("hotseat.replay", 1, "duel")
    (mode,) = told["modes"]
    assert mode["ttft_ms"] == {"mean": 2.0, "max": 2.0}
    assert mode["ratios"] == {"full": 0.25}
    assert mode["background_rows"] == 5
    assert mode["same_best"] is None
    assert "samples" not in mode


def test_a_mode_that_finished_no_turn_has_no_times() -> None:
    told = report(sample(None)).as_json()["modes"][0]
    assert told["ttft_ms"] == {}
    assert told["tokens_computed"] is None
