"""Plots as files that a browser shows: the losses of a run, and what other plots are drawn on."""

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent_runtime.errors import CannotWrite
from agent_runtime.tuning.errors import LacksTuningExtra

INK = "#76808c"
"""What is written on a plot: as far from white as from black, for a page may be either."""


def require_plotting(out: Path, without: str = "") -> None:
    """Raise what a plot to `out` would raise in the end, before anything else is done for it.

    `without` is how to do without the plot, for whoever lacks the package. Raises LacksTuningExtra, CannotWrite.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise LacksTuningExtra("A plot", "matplotlib", without)
    figure, _ = _axes("", "")
    known = figure.canvas.get_supported_filetypes()
    if out.suffix.removeprefix(".") not in known:
        raise CannotWrite(out, f"no kind of picture ends so; there are {', '.join(sorted(known))}")


def plot_losses(metrics: Path, out: Path) -> None:
    """Draw the losses of a run's metrics.jsonl by step, one line per mode, and of the same colour, dashed, that on
    samples for validation. Raises LacksTuningExtra, CannotWrite.
    """
    lines = [json.loads(line) for line in metrics.read_text("utf-8").splitlines()]
    names = dict.fromkeys(name for line in lines for name in line if name.startswith("loss_"))
    figure, axes = _axes("step", "loss (nats a token)")

    def draw(name: str, label: str, **how: Any) -> Any:
        points = [(line["step"], line[name]) for line in lines if name in line]
        [drawn] = axes.plot(*zip(*points, strict=True), label=label, **how) if points else [None]
        return drawn

    for name in names:
        mode = name.removeprefix("loss_")
        learned = draw(name, mode)
        draw(f"validation_{name}", f"{mode}, validation", color=learned.get_color(), linestyle="--", marker="o")
    axes.set_yscale("log")
    axes.legend(frameon=False, labelcolor=INK)
    save_figure(figure, out)


def new_figure(
    rows: int, widths: Sequence[float], size: tuple[float, float], heights: Sequence[float] = (1,)
) -> tuple[Any, Any]:
    """Return a figure and its axes as a grid, on no ground of its own. Raises LacksTuningExtra."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise LacksTuningExtra("A plot", "matplotlib") from error
    figure = Figure(figsize=size, layout="constrained")
    figure.patch.set_alpha(0)
    grid = figure.subplots(
        rows, len(widths), squeeze=False, sharex="col", sharey="row", width_ratios=widths, height_ratios=heights
    )
    for axes in grid.flat:
        axes.patch.set_alpha(0)
        axes.grid(alpha=0.3, color=INK)
        axes.tick_params(colors=INK)
        for label in (axes.xaxis.label, axes.yaxis.label):
            label.set_color(INK)
        for name, spine in axes.spines.items():
            spine.set_color(INK)
            spine.set_visible(name in ("left", "bottom"))
    return figure, grid


def save_figure(figure: Any, out: Path) -> None:
    """Write a figure; the same one is the same bytes. Raises CannotWrite."""
    from matplotlib import rc_context

    try:
        with rc_context({"svg.hashsalt": "hotseat"}):
            figure.savefig(out, dpi=150, metadata={"Date": None} if out.suffix == ".svg" else None)
    except OSError as error:
        raise CannotWrite(out, error.strerror or str(error)) from error


def _axes(x: str, y: str) -> tuple[Any, Any]:
    figure, [[axes]] = new_figure(1, [1], (8, 4.5))
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return figure, axes
