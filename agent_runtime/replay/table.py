"""A replay's report as tables for people, within 100 columns."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from agent_runtime.replay.figures import Ratio, Times
from agent_runtime.replay.report import ModeReport, ReplayReport, percent, remarks
from agent_runtime.replay.samples import column

TABLE_WIDTH = 100

LEGEND = (
    "TTFT: from the turn's arrival to the decision. A percentile stands only where ten turns lie beyond it. over: mean "
    "time over that of another mode on the same turns, and its 95 % interval. tokens: means a turn. like record: the "
    "recorded action was chosen. best as full: the likeliest action is full's. logprob off by: the largest difference "
    "from full's (nats). total var.: total variation from full's shares. legal mass: what the model gives to all legal "
    "actions together (median)."
)

_WIDE_ONLY = ("\np50", "engine ms\nmean", "\ncached", "total\nvar. max")

_PARTS = ("engine", "overhead", "wire")

_Cell = Callable[[ModeReport], str]
_Columns = dict[str, _Cell]


def report_table(report: ReplayReport, *, width: int = TABLE_WIDTH) -> RenderableType:
    """Draw a report: times, ratios, cold starts and answers, one row a mode, and below what to know about the figures.

    A terminal narrower than TABLE_WIDTH gets fewer columns.
    """
    drawn: list[RenderableType] = [Text(_title(report), style="bold")]
    sections = (_times(report), _ratios(report), _cold(report), _traffic(report), _answers(report))
    for columns in filter(None, sections):
        if width < TABLE_WIDTH:
            columns = {heading: cell for heading, cell in columns.items() if heading not in _WIDE_ONLY}
        table = _table(report, columns)
        if columns.keys() & {"like\nrecord"} and (constant := report.constant_action) is not None:
            shown = {"like\nrecord": percent(constant.agreement)}
            table.add_row(f"always {constant.action}"[:30], *(shown.get(heading, "") for heading in columns))
        drawn += [Text(), table]
    notes = [*report.warnings, *remarks(report), *_notes(report)]
    return Group(*drawn, *([Text(), *(Text(note, style="dim") for note in notes)] if notes else []))


def _table(report: ReplayReport, columns: Mapping[str, _Cell]) -> Table:
    table = new_table(columns)
    for mode in report.modes:
        table.add_row(mode.label, *(cell(mode) for cell in columns.values()))
    return table


def new_table(headings: Iterable[str]) -> Table:
    """Return an empty table of modes with these columns."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1), show_edge=False, pad_edge=False)
    table.add_column("mode", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _title(report: ReplayReport) -> str:
    turns = max((mode.turns for mode in report.modes), default=0)
    sizes = column(report.modes[0].samples, "tokens_prompt") if report.modes else ()
    known = [size for size in sizes if size is not None]
    prompts = f", prompts of {min(known):,} to {max(known):,} tokens" if known else ""
    tuned = "" if report.block_tuned else ", not block-tuned"
    return f"{report.game}: {turns} turns{prompts}, {report.model}{tuned}"


def _times(report: ReplayReport) -> _Columns:
    """The columns by their headings; percentiles that no mode has are left out."""
    columns: _Columns = {"TTFT ms\nmean": lambda mode: _time(mode.ttft_ms, "mean")}
    for name in ("p50", "p95", "p99"):
        if any(mode.ttft_ms is not None and getattr(mode.ttft_ms, name) is not None for mode in report.modes):
            columns[f"\n{name}"] = partial(_of_ttft, name)
    columns["\nmax"] = partial(_of_ttft, "max")
    columns["engine ms\nmean"] = lambda mode: _time(mode.engine_ms, "mean")
    if any(mode.late_ms for mode in report.modes):
        columns["late ms\nmax"] = lambda mode: _time(mode.late_ms, "max")
    if any(mode.deadline_miss_rate is not None for mode in report.modes):
        columns["deadline\nmissed"] = lambda mode: share_cell(mode.deadline_miss_rate)
    columns["tokens\ncomputed"] = lambda mode: count_cell(mode.tokens_computed)
    columns["\ncached"] = lambda mode: count_cell(mode.tokens_cached)
    return columns


def _of_ttft(name: str, mode: ModeReport) -> str:
    return _time(mode.ttft_ms, name)


def _ratios(report: ReplayReport) -> _Columns:
    measured = {rival for mode in report.modes for rival in mode.ratios}
    rivals = [mode.label for mode in report.modes if mode.label in measured]
    return {f"TTFT over {rival}": partial(_over, rival) for rival in rivals}


def _cold(report: ReplayReport) -> _Columns:
    if not any(mode.cold.turns for mode in report.modes):
        return {}
    return {
        "cold\nstarts": lambda mode: f"{mode.cold.turns:,}",
        "TTFT ms\nmean": lambda mode: _time(mode.cold.ttft_ms, "mean"),
        "\nmax": lambda mode: _time(mode.cold.ttft_ms, "max"),
    }


def _traffic(report: ReplayReport) -> _Columns:
    if not any(mode.traffic for mode in report.modes):
        return {}
    columns: _Columns = {
        "turns\nasked": lambda mode: count_cell(mode.traffic.asked if mode.traffic else None),
        "never\nanswered": lambda mode: count_cell(mode.traffic.unanswered if mode.traffic else None),
        "most\nat once": lambda mode: count_cell(mode.traffic.under_way_max if mode.traffic else None),
        "turns\na second": lambda mode: number_cell(mode.traffic.turns_per_s if mode.traffic else None),
    }
    for heading, name in (("of the time, ms\nqueue", "queue"), *((f"\n{part}", part) for part in _PARTS)):
        columns[heading] = partial(_part_of_time, name)
    return columns


def _part_of_time(name: str, mode: ModeReport) -> str:
    shares = mode.traffic.shares_ms if mode.traffic else None
    return time_cell(getattr(shares, name, None))


def _answers(report: ReplayReport) -> _Columns:
    columns: _Columns = {"like\nrecord": lambda mode: share_cell(mode.as_recorded)}
    if any(mode.same_best is not None for mode in report.modes):
        columns["best as\nfull"] = lambda mode: share_cell(mode.same_best)
        columns["logprob\noff by"] = lambda mode: number_cell(mode.logprob_off_max)
        columns["total\nvar. mean"] = lambda mode: number_cell(mode.total_variation_mean)
        columns["total\nvar. max"] = lambda mode: number_cell(mode.total_variation_max)
    if any(mode.legal_mass_median is not None for mode in report.modes):
        columns["legal\nmass"] = lambda mode: "-" if mode.legal_mass_median is None else f"{mode.legal_mass_median:.1e}"
    return columns


def _notes(report: ReplayReport) -> Iterator[str]:
    if any(mode.background_rows for mode in report.modes):
        behind = ", ".join(f"{mode.label} {mode.background_rows:,}" for mode in report.modes)
        yield f"Tokens computed while no turn waited, not in the table: {behind}."
    for mode in report.modes:
        if set(mode.outcomes) - {"ok"}:
            listed = ", ".join(f"{count} {outcome}" for outcome, count in mode.outcomes.items())
            yield f"Outcomes in {mode.label}: {listed}."


def _over(rival: str, mode: ModeReport) -> str:
    return "1" if mode.label == rival else ratio_cell(mode.ratios.get(rival))


def ratio_cell(ratio: Ratio | None) -> str:
    """Return a ratio with its interval, as a table shows it."""
    if ratio is None:
        return "-"
    if ratio.low is None or ratio.high is None:
        return _three_digits(ratio.value)
    return f"{_three_digits(ratio.value)} ({_three_digits(ratio.low)} to {_three_digits(ratio.high)})"


def _three_digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 99.95 else f"{value:#.3g}"


def _time(times: Times | None, name: str) -> str:
    return time_cell(getattr(times, name, None))


def time_cell(value_ms: float | None) -> str:
    """Return milliseconds, as a table shows them."""
    return "-" if value_ms is None else f"{value_ms:,.0f}" if value_ms >= 100 else f"{value_ms:.1f}"


def count_cell(value: float | None) -> str:
    """Return a mean number of tokens, as a table shows it."""
    return "-" if value is None else f"{value:,.0f}"


def number_cell(value: float | None) -> str:
    """Return a plain number, as a table shows it."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}" if value >= 0.1 or value == 0 else f"{value:.2g}"


def share_cell(value: float | None) -> str:
    """Return a share, as a table shows it."""
    return "-" if value is None else percent(value)
