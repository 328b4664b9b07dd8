"""What `hotseat replay` prints and writes."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from agent_runtime.adapter_choice import Adapter
from agent_runtime.commands.options import require_folders_of
from agent_runtime.errors import CannotWrite
from agent_runtime.replay.conditions import Condition, Metrics, check_names, failures, parse_condition
from agent_runtime.replay.metrics import metrics_of, metrics_to_come
from agent_runtime.replay.page import write_page
from agent_runtime.replay.report import ReplayReport
from agent_runtime.replay.table import LEGEND, TABLE_WIDTH, report_table
from agent_runtime.turn import Mode

if TYPE_CHECKING:
    from agent_runtime.replay.replayer import ReplayOptions


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to become of a report: printed as JSON or as tables, written, and held against conditions."""

    as_json: bool = False
    out: Path | None = None
    html: Path | None = None
    turns: bool = True
    conditions: tuple[Condition, ...] = ()

    @classmethod
    def checked(
        cls,
        modes: Sequence[Mode],
        fail_if: Sequence[str],
        *,
        as_json: bool,
        out: Path | None,
        html: Path | None,
        turns: bool = True,
    ) -> "Wanted":
        """Check all that can be checked before a model is loaded: a refusal should not take half a minute.

        Raises BadCondition, UnknownMetric and CannotWrite.
        """
        conditions = tuple(map(parse_condition, fail_if))
        check_names(conditions, metrics_to_come(modes))
        require_folders_of(out, html)
        return cls(as_json, out, html, turns, conditions)


def print_replay(recording: Path, model: str, adapter: Adapter, options: "ReplayOptions", wanted: Wanted) -> bool:
    """Replay a recording and deliver its report. Raises what loading the model and replaying raise."""
    from agent_runtime.engine.loading import ModelSpec, load_model
    from agent_runtime.replay.replayer import replay

    loaded = load_model(ModelSpec(source=model, adapter=adapter))
    columns = (TextColumn("turns"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("turns", total=None)
        report = replay(
            recording, loaded, options, lambda done, turns: progress.update(task, completed=done, total=turns)
        )
    return deliver(report, wanted)


def deliver(report: ReplayReport, wanted: Wanted) -> bool:
    """Print and write a report; returns whether none of the conditions holds. Raises CannotWrite and NoValue."""
    if wanted.as_json:
        report.write_json(sys.stdout, turns=wanted.turns)
    else:
        print_tables(report)
    if wanted.out is not None:
        _write(wanted.out, lambda file: report.write_json(file, turns=wanted.turns))
    if wanted.html is not None:
        _write(wanted.html, lambda file: write_page(report, file))
    return none_holds(wanted.conditions, metrics_of(report))


def _write(path: Path, write: Callable[[TextIO], None]) -> None:
    try:
        with path.open("w", encoding="utf-8") as file:
            write(file)
    except OSError as error:
        raise CannotWrite(path, error.strerror or str(error)) from error


def none_holds(conditions: Sequence[Condition], metrics: Metrics) -> bool:
    """Say which conditions hold; returns whether none does. Raises NoValue."""
    failed = list(failures(conditions, metrics))
    for sentence in failed:
        print(f"hotseat: {sentence}", file=sys.stderr)
    return not failed


def print_tables(report: ReplayReport) -> None:
    """Print a report's tables, as wide as the terminal is or as they are."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = TABLE_WIDTH
    console.print(report_table(report, width=console.width))
    console.print(Text(f"\n{LEGEND}", style="dim"))
