"""The tables of a replay fit a terminal, whatever the figures are."""

from dataclasses import replace
from io import StringIO
from pathlib import Path

from rich.console import Console

from agent_runtime.replay.figures import Ratio
from agent_runtime.replay.report import ConstantAction, ModeReport, ReplayReport, TurnSample, report_mode
from agent_runtime.replay.table import TABLE_WIDTH, report_table
from agent_runtime.replay.traffic import ServerShares, Traffic
from agent_runtime.turn import Mode, Outcome

RATIO = Ratio(12.345, 10.111, 123.4, 20)
SAMPLE = TurnSample(
    *("s", 1, Outcome.OK, 98_765.4, 12_345, 12_345, 11_111, 1, True, False, 123.456, 0.987),
    engine_ms=97_654.3,
    late_ms=1234.5,
    deadline_met=False,
    legal_mass=1.23e-6,
)


def mode(label: str, ttft_ms: float, num_turns: int = 20) -> ModeReport:
    samples = [replace(SAMPLE, ttft_ms=ttft_ms)] * num_turns + [replace(SAMPLE, ttft_ms=7 * ttft_ms, cold=True)]
    made = report_mode(label, Mode.STAR, samples, {}, background_rows=123_456, background_forwards=1)
    return replace(made, ratios={rival: RATIO for rival in ("full", "prefix", "star") if rival != label})


def drawn(*modes: ModeReport, warnings: tuple[str, ...] = (), width: int = TABLE_WIDTH) -> str:
    out = StringIO()
    constant = ConstantAction("raise to everything there is on the table", 0.6)
    report = ReplayReport(
        Path("m.jsonl"), "duel", "star", "tiny", False, modes, 0, warnings, {}, constant_action=constant
    )
    Console(file=out, width=width).print(report_table(report, width=width))
    return out.getvalue()


def test_the_widest_tables_have_every_heading_whole_and_fit() -> None:
    text = drawn(mode("full", 98_765.4, 1000), mode("prefix", 0.04), mode("star", 99.94), mode("star (2)", 99.94))
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= TABLE_WIDTH
    for word in ("p50", "p95", "p99", "max", "engine", "computed", "cached", "like", "best as", "logprob", "legal"):
        assert word in text
    for word in ("98,765", "12.3 (10.1 to 123)", "100 %", "1.2e-06", "missed", "late", "starts", "691,358"):
        assert word in text


def test_a_terminal_of_80_columns_gets_fewer_figures_and_none_cut() -> None:
    text = drawn(mode("full", 98_765.4), mode("prefix", 0.04), mode("star", 99.94), width=80)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert "computed" in text and "cached" not in text


def test_traffic_has_a_table_of_its_own() -> None:
    shares = ServerShares(20, 98_765.4, 97_654.3, 12_345.6, 9_876.5, 1_234.5, 1_111.1)
    traffic = Traffic(300, 1, 123_456, 1_234, 5, 300, 1_234.5, 9_999.9, shares)
    text = drawn(replace(mode("star (2)", 98_765.4), traffic=traffic), mode("star", 1.0))
    assert "…" not in text and max(map(len, text.splitlines())) <= TABLE_WIDTH
    for shown in ("123,456", "1,234", "300", "12,346", "9,876", "1,111"):
        assert shown in text


def test_the_best_constant_action_stands_below_the_agreement() -> None:
    lines = drawn(mode("star", 1.0)).splitlines()
    (line,) = (line for line in lines if line.startswith("always raise to everything"))
    assert line.rstrip().endswith("60 %")


def test_columns_that_compare_with_full_need_full() -> None:
    alone = replace(mode("star", 1.0), same_best=None, ratios={})
    text = drawn(alone)
    assert "best as" not in text
    assert "over" not in text


def test_percentiles_that_nobody_has_and_cold_starts_that_nobody_had_take_no_room() -> None:
    text = drawn(replace(mode("star", 1.0, 3), cold=report_mode_without_turns().cold))
    assert "p50" not in text and "max" in text
    assert "cold" not in text


def report_mode_without_turns() -> ModeReport:
    return report_mode(
        "star", Mode.STAR, [TurnSample("s", 1, Outcome.ERROR)], {}, background_rows=0, background_forwards=0
    )


def test_what_went_wrong_stands_below() -> None:
    failed = replace(mode("star", 1.0, 3), outcomes={"ok": 2, "overloaded": 1})
    text = drawn(failed, warnings=("It was recorded with other weights.",))
    assert "Outcomes in star: 2 ok, 1 overloaded." in text
    assert "other weights" in text


def test_a_mode_without_any_figure_has_dashes() -> None:
    assert " - " in drawn(report_mode_without_turns())
