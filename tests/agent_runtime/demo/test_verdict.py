"""The closing line follows from the figures."""

from dataclasses import replace
from pathlib import Path

import pytest

from agent_runtime.demo.verdict import PrefixFinding, caveat, find, verdict
from agent_runtime.replay.report import ReplayReport, TurnSample, report_mode
from agent_runtime.turn import Mode, Outcome

GOOD = PrefixFinding("hold'em", again=37.4, over_star=1.1, full_over_star=4.1, same_best=0.2)
BAD = PrefixFinding("camp", again=217, over_star=2.4, full_over_star=7.4, same_best=0.5)


def samples(ttft_ms: float, computed: int, cached: int) -> list[TurnSample]:
    return [
        TurnSample("s", 1, Outcome.OK, ttft_ms, 100, computed, cached, 1, True, True, 0.0, 0.0),
        TurnSample("s", 2, Outcome.OK, 2 * ttft_ms, 100, computed, cached, 1, True, False, 0.0, 0.0),
    ]


def report(*labels: str) -> ReplayReport:
    every = {"full": samples(50.0, 100, 0), "prefix": samples(20.0, 60, 40), "star": samples(5.0, 20, 80)}
    shown = {label: every[label] for label in labels}
    modes = tuple(
        report_mode(label, Mode(label), own, shown, background_rows=0, background_forwards=0)
        for label, own in shown.items()
    )
    return ReplayReport(Path("m.jsonl"), "camp", "star", "tiny", False, modes, 0, (), {})


def test_a_finding_is_read_from_the_three_modes() -> None:
    finding = find(report("full", "prefix", "star"))
    assert finding == PrefixFinding("camp", again=40, over_star=4.0, full_over_star=10.0, same_best=0.5)
    assert not finding.suffices


@pytest.mark.parametrize("labels", [("full", "prefix"), ("star", "prefix"), ("full", "star")])
def test_without_one_of_the_modes_nothing_is_found(labels: tuple[str, ...]) -> None:
    assert find(report(*labels)) is None


def test_the_verdict_says_where_prefix_reuse_suffices_and_where_not() -> None:
    behind = "unchanged tokens a turn stand behind a change, to be computed again, and it takes"
    assert verdict([GOOD, BAD]) == (
        f"Prefix reuse suffices in hold'em: there 37 {behind} 1.1 x star's time (full attention 4.1 x). "
        f"Prefix reuse does not suffice in camp: there 217 {behind} 2.4 x star's time (full attention 7.4 x)."
    )


def test_the_verdict_claims_nothing_that_was_not_measured() -> None:
    assert verdict([replace(BAD, differs=False)]).startswith("Prefix reuse is not told apart from star in camp: there")
    assert verdict([replace(GOOD, differs=False)]) == verdict([GOOD])
    assert "does not" not in verdict([GOOD])
    assert "suffices" not in verdict([BAD])
    assert verdict([]) == ""
    assert "nothing unchanged stands behind a change" in verdict([replace(GOOD, again=-0.5)])


def test_the_caveat_names_every_game_with_its_agreement() -> None:
    assert "full's in 20 % of hold'em's and 50 % of camp's turns" in caveat([GOOD, BAD], "SmolLM2")
