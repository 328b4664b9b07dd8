"""The table of a replay fits a terminal, whatever the figures are."""

from dataclasses import replace
from io import StringIO
from pathlib import Path

from rich.console import Console

from agent_runtime.replay.report import ModeReport, ReplayReport, TurnSample, report_mode
from agent_runtime.replay.table import TABLE_WIDTH, report_table
from agent_runtime.turn import Mode, Outcome


def mode(label: str, ttft_ms: float, num_turns: int = 20) -> ModeReport:
    one = TurnSample("s", 1, Outcome.OK, ttft_ms, 12_345, 12_345, 11_111, 1, True, False, 123.456, 0.987)
    samples = [one] * num_turns
    return replace(
        report_mode(label, Mode.STAR, samples, {}, background_rows=123_456, background_forwards=1),
        ratios={"full": 12.345, "prefix": 123.45},
    )


def drawn(*modes: ModeReport, warnings: tuple[str, ...] = (), width: int = TABLE_WIDTH) -> str:
    out = StringIO()
    report = ReplayReport(Path("m.jsonl"), "duel", "star", "tiny", False, modes, 0, warnings, {})
    Console(file=out, width=width).print(report_table(report, width=width))
    return out.getvalue()


def test_the_widest_table_has_every_heading_whole_and_fits() -> None:
    text = drawn(mode("full", 98_765.4), mode("prefix", 0.04), mode("star", 99.94), mode("star (2)", 99.94))
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= TABLE_WIDTH
    for word in ("p50", "max", "computed", "cached", "like", "best as", "logprob", "98,765", "123", "12.35", "100 %"):
        assert word in text


def test_a_terminal_of_80_columns_gets_fewer_figures_and_none_cut() -> None:
    text = drawn(mode("full", 98_765.4), mode("prefix", 0.04), mode("star", 99.94), width=80)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert "computed" in text and "cached" not in text


def test_columns_that_compare_with_full_need_full() -> None:
    text = drawn(mode("star", 1.0))
    assert "best as" not in text
    assert "over" not in text


def test_what_went_wrong_stands_below() -> None:
    failed = replace(mode("star", 1.0, 3), outcomes={"ok": 2, "overloaded": 1})
    text = drawn(failed, warnings=("It was recorded with other weights.",))
    assert "Outcomes in star: 2 ok, 1 overloaded." in text
    assert "other weights" in text


def test_a_mode_without_any_figure_has_dashes() -> None:
    empty = report_mode(
        "star", Mode.STAR, [TurnSample("s", 1, Outcome.ERROR)], {}, background_rows=0, background_forwards=0
    )
    assert " - " in drawn(empty)
