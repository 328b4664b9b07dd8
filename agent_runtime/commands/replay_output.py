"""What `hotseat replay` prints."""

import json
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from agent_runtime.engine.loading import ModelSpec, load_model
from agent_runtime.replay.recording_format import read_recording
from agent_runtime.replay.replayer import ReplayOptions, replay
from agent_runtime.replay.table import TABLE_WIDTH, report_table


def print_replay(recording: Path, model: str, adapter: Path | None, options: ReplayOptions, as_json: bool) -> None:
    """Replay a recording and print its report. Raises what loading the model and replaying raise."""
    # Before the model is loaded: a refusal should not take half a minute.
    read_recording(recording, verify=options.verify)
    loaded = load_model(ModelSpec(source=model, adapter=adapter))
    columns = (TextColumn("turns"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("turns", total=None)
        report = replay(
            recording, loaded, options, lambda done, turns: progress.update(task, completed=done, total=turns)
        )
    if as_json:
        print(json.dumps(report.as_json(), indent=1))
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = TABLE_WIDTH
    console.print(report_table(report, width=console.width))
