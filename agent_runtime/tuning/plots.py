"""Plots of a run and of an evaluation, as files that a browser shows."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent_runtime.errors import CannotWrite
from agent_runtime.tuning.errors import LacksTuningExtra
from agent_runtime.tuning.tallies import ALL


def require_plotting(out: Path) -> None:
    """Raise what a plot to `out` would raise in the end, before anything else is done for it."""
    figure, _ = _axes("", "")
    known = figure.canvas.get_supported_filetypes()
    if out.suffix.removeprefix(".") not in known:
        raise CannotWrite(out, f"no kind of picture ends so; there are {', '.join(sorted(known))}")


def plot_losses(metrics: Path, out: Path) -> None:
    """Draw the losses of a run's metrics.jsonl by step, one line per mode. Raises LacksTuningExtra, CannotWrite."""
    lines = [json.loads(line) for line in metrics.read_text("utf-8").splitlines()]
    names = [name for name in lines[0] if name.startswith("loss_")] if lines else []
    figure, axes = _axes("step", "cross-entropy of the answers (nats a token)")
    for name in names:
        axes.plot([line["step"] for line in lines], [line[name] for line in lines], label=name.removeprefix("loss_"))
    axes.set_yscale("log")
    _save(figure, axes, out)


def plot_accuracy(report: Mapping[str, Any], out: Path) -> None:
    """Draw the share of right answers by the number of blocks, one line per condition, with its intervals.

    Raises LacksTuningExtra, CannotWrite.
    """
    figure, axes = _axes("blocks of the state", "right answers (%)")
    files = sorted((file for file in report["files"] if file["blocks"]), key=lambda file: file["blocks"][1])
    for name in report["conditions"]:
        points = [(file["blocks"][1], _all(file)["right"][name]) for file in files]
        axes.errorbar(
            [blocks for blocks, _ in points],
            [point["points"] for _, point in points],
            yerr=[point["points"] - (point["interval"][0] or point["points"]) for _, point in points],
            label=name,
            marker="o",
            capsize=2,
        )
    axes.set_xscale("log", base=2)
    _save(figure, axes, out)


def _all(file: Mapping[str, Any]) -> Mapping[str, Any]:
    cells: list[Mapping[str, Any]] = file["cells"]
    return next((cell for cell in cells if cell["kind"] == ALL), cells[0])


def _axes(x: str, y: str) -> tuple[Any, Any]:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise LacksTuningExtra("A plot", "matplotlib") from error
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
    return figure, axes


def _save(figure: Any, axes: Any, out: Path) -> None:
    axes.legend()
    try:
        figure.savefig(out)
    except OSError as error:
        raise CannotWrite(out, error.strerror or str(error)) from error
