"""A replay's report as a table for people, within 100 columns."""

from collections.abc import Callable
from functools import partial

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from agent_runtime.replay.report import RIVALS, ModeReport, ReplayReport
from agent_runtime.turn import Mode

TABLE_WIDTH = 100

LEGEND = (
    "TTFT: from the turn's arrival to the decision. over: mean time over that of another mode on the same turns. "
    "tokens: means a turn. like record: the recorded action was chosen. best as full: the likeliest action is full's. "
    "logprob off by: the largest difference from full's (nats). total var.: mean total variation from full's shares."
)

_WIDE_ONLY = ("\np50", "\ncached", "total\nvar.")

_Cell = Callable[[ModeReport], str]


def report_table(report: ReplayReport, *, width: int = TABLE_WIDTH) -> RenderableType:
    """Draw a report: one row a mode, and below it what to know about the figures.

    A terminal narrower than TABLE_WIDTH gets fewer columns.
    """
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1), show_edge=False, pad_edge=False)
    table.add_column("mode", no_wrap=True)
    columns = _columns(report)
    if width < TABLE_WIDTH:
        columns = {heading: cell for heading, cell in columns.items() if heading not in _WIDE_ONLY}
    for heading in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    for mode in report.modes:
        table.add_row(mode.label, *(cell(mode) for cell in columns.values()))
    notes = [*report.warnings]
    if any(mode.background_rows for mode in report.modes):
        behind = ", ".join(f"{mode.label} {mode.background_rows:,}" for mode in report.modes)
        notes.append(f"Tokens computed while no turn waited, not in the table: {behind}.")
    failed = {mode.label: dict(mode.outcomes) for mode in report.modes if set(mode.outcomes) != {"ok"}}
    notes += [f"Outcomes in {label}: {_listed(outcomes)}." for label, outcomes in failed.items()]
    below = [Text(), *(Text(note, style="dim") for note in notes)] if notes else []
    return Group(Text(_title(report), style="bold"), Text(), table, *below)


def _title(report: ReplayReport) -> str:
    turns = max(mode.turns for mode in report.modes)
    sizes = sorted(sample.tokens_prompt for sample in report.modes[0].samples if sample.tokens_prompt is not None)
    prompts = f", prompts of {sizes[0]:,} to {sizes[-1]:,} tokens" if sizes else ""
    tuned = "" if report.block_tuned else ", not block-tuned"
    return f"{report.game}: {turns} turns{prompts}, {report.model}{tuned}"


def _columns(report: ReplayReport) -> dict[str, _Cell]:
    """The columns by their headings; those that no mode has a figure for are left out."""
    labels = [mode.label for mode in report.modes]
    times = [mode.ttft_ms for mode in report.modes if mode.ttft_ms is not None]
    columns: dict[str, _Cell] = {"TTFT ms\nmean": lambda mode: _time(mode.ttft_ms.mean if mode.ttft_ms else None)}
    if any(each.p50 is not None for each in times):
        columns["\np50"] = lambda mode: _time(mode.ttft_ms.p50 if mode.ttft_ms else None)
    if any(each.p95 is not None for each in times):
        columns["\np95"] = lambda mode: _time(mode.ttft_ms.p95 if mode.ttft_ms else None)
    else:
        columns["\nmax"] = lambda mode: _time(mode.ttft_ms.max if mode.ttft_ms else None)
    for rival in dict.fromkeys((*RIVALS, *(rival for mode in report.modes for rival in mode.ratios))):
        if rival in labels:
            columns[f"over\n{rival}"] = partial(_over, rival)
    columns["tokens\ncomputed"] = lambda mode: _count(mode.tokens_computed)
    columns["\ncached"] = lambda mode: _count(mode.tokens_cached)
    columns["like\nrecord"] = lambda mode: _percent(mode.as_recorded)
    if Mode.FULL in labels:
        columns["best as\nfull"] = lambda mode: _percent(mode.same_best)
        columns["logprob\noff by"] = lambda mode: _ratio(mode.logprob_off_max)
        columns["total\nvar."] = lambda mode: _ratio(mode.total_variation_mean)
    return columns


def _over(rival: str, mode: ModeReport) -> str:
    return "1" if mode.label == rival else _ratio(mode.ratios.get(rival))


def _time(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _count(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}" if value < 100 else f"{value:,.0f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f} %"


def _listed(outcomes: dict[str, int]) -> str:
    return ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())
