"""Plots of a comparison: right answers by the number of blocks, and below what each column differs by.

Files of one generator and one size of blocks are one panel, so that a line has nothing but the number of blocks in it.
The colours do on a light ground and on a dark one, and there is none of its own.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from agent_runtime.tuning.errors import BadArgument
from agent_runtime.tuning.plots import INK, new_figure, save_figure

File = Mapping[str, Any]
_COLOURS = ("#3b82f6", "#e0700b", "#199d5a", "#a855f7", "#e0488b", "#0d94a8", "#a3810f")
_DASHES: Mapping[str, Any] = MappingProxyType({"full": "-", "star": (0, (5, 2)), "anchored": (0, (3, 1, 1, 1))})
_MARKERS: Mapping[str, str] = MappingProxyType({"full": "o", "star": "s", "anchored": "D"})
# A tick on each number of blocks that a file has, unless a neighbour is nearer than this.
_LEAST_RATIO = 1.2


def plot_curves(comparison: Mapping[str, Any], out: Path) -> None:
    """Draw a comparison, of each column the first of its differences.

    Raises BadArgument if it has no answers, LacksTuningExtra, CannotWrite.
    """
    panels = _panels(comparison["files"])
    if not panels:
        raise BadArgument("--plot", "there is nothing to draw: no samples were answered.")
    differences = list({each["column"]: each for each in reversed(comparison["differences"])}.values())[::-1]
    names = [each["name"] for each in differences]
    rows = 2 if any(name in _first(file)["differences"] for files in panels for file in files for name in names) else 1
    widths = [2 + len({_num_blocks(file) for file in files}) for files in panels]
    figure, axes = new_figure(rows, widths, (3.6 + 0.45 * sum(widths), 2 + 1.7 * rows), heights=[2, 1.2][:rows])
    styles, titles = _styles(comparison["columns"]), _titles([files[0] for files in panels])
    for number, files in enumerate(panels):
        above = axes[0][number]
        above.set_title(titles[number], fontsize=10, color=INK)
        for name, style in styles.items():
            _line(above, [(file, _first(file)["right"].get(name)) for file in files], style, name)
        chances = {_num_blocks(file): _first(file)["chance"] for file in files}
        if len(chances) > 1:
            above.plot([*chances], [*chances.values()], color=INK, linewidth=1, linestyle=":", label="chance")
        else:  # a line of one point would be none
            above.axhline(*chances.values(), color=INK, linewidth=1, linestyle=":", label="chance")
        above.set_ylim(0, 102)
        for each in differences if rows == 2 else ():
            points = [(file, _first(file)["differences"].get(each["name"])) for file in files]
            _line(axes[1][number], points, styles[each["column"]], each["name"])
        if rows == 2:
            axes[1][number].axhline(0, color=INK, linewidth=1)
        for axis in (row[number] for row in axes):
            _ticks(axis, files)
        axes[-1][number].set_xlabel("blocks of the state")
    axes[0][0].set_ylabel("right answers (%)")
    if rows == 2:
        axes[1][0].set_ylabel(_what(differences, comparison["columns"]))
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", frameon=False, labelcolor=INK, fontsize=9)
    save_figure(figure, out)


def _panels(files: Sequence[File]) -> list[list[File]]:
    """Return the files by what they have in common; alone only if no number of blocks differs anywhere."""
    panels: dict[str, list[File]] = {}
    for file in files:
        if file["blocks"] and file["cells"]:
            arguments = {name: value for name, value in file["arguments"].items() if name != "blocks"}
            panels.setdefault(json.dumps([file["generator"], arguments], sort_keys=True), []).append(file)
    lines = [panel for panel in panels.values() if len({_num_blocks(file) for file in panel}) > 1]
    found = lines or list(panels.values())
    return [sorted(panel, key=_num_blocks) for panel in sorted(found, key=len, reverse=True)]


def _num_blocks(file: File) -> int:
    return int(file["blocks"][1])


def _first(file: File) -> Mapping[str, Any]:
    cell: Mapping[str, Any] = file["cells"][0]  # that of all kinds, if there are several
    return cell


def _titles(files: Sequence[File]) -> list[str]:
    """Return of a file of each panel its generator, the size of blocks, and other arguments that not all panels have.

    Each stands on a line of its own: panels of two sizes are narrow.
    """
    arguments = [{name: json.dumps(value) for name, value in file["arguments"].items()} for file in files]
    said = sorted(set().union(*arguments) - {"blocks", "block_tokens"})
    apart = [name for name in said if len({each.get(name) for each in arguments}) > 1]
    titles = []
    for file, each in zip(files, arguments, strict=True):
        size = file["arguments"].get("block_tokens")
        sizes = [] if size is None else [f"{'-'.join(map(str, dict.fromkeys(size)))} tokens a block"]
        others = [f"{name} {_words(file['arguments'][name])}" for name in apart if name in each]
        titles.append("\n".join([file["generator"], *sizes, *others]))
    return titles


def _words(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _what(differences: Sequence[Mapping[str, str]], columns: Sequence[Mapping[str, str]]) -> str:
    """Return what all differences have in common: above one column, a model, or their own model in a mode."""
    by_name = {each["name"]: each for each in columns}
    pairs = [(by_name[each["column"]], by_name[each["other"]]) for each in differences]
    others, models, modes = ({other[key] for _, other in pairs} for key in ("name", "model", "condition"))
    if len(others) == 1:
        return f"points above {others.pop()}"
    if len(modes) == 1 and all(one["model"] == other["model"] for one, other in pairs):
        return f"points above own {modes.pop()}"
    if len(models) == 1 and all(one["condition"] == other["condition"] for one, other in pairs):
        return f"points above {models.pop()}, same mode"
    return "points above another"


def _styles(columns: Sequence[Mapping[str, str]]) -> dict[str, dict[str, Any]]:
    """Return a colour for each model, or for each condition if there is one model, and dashes for each condition."""
    models = list(dict.fromkeys(each["model"] for each in columns))
    conditions = list(dict.fromkeys(each["condition"] for each in columns))
    styles = {}
    for each in columns:
        number = models.index(each["model"]) if len(models) > 1 else conditions.index(each["condition"])
        styles[each["name"]] = {
            "color": _COLOURS[number % len(_COLOURS)],
            "linestyle": _DASHES.get(each["condition"], (0, (1, 1.5))),
            "marker": _MARKERS.get(each["condition"], "^"),
        }
    return styles


def _line(axis: Any, points: Sequence[tuple[File, Any]], style: Mapping[str, Any], name: str) -> None:
    """Draw one line with intervals; a difference that means nothing, as nobody has learned the cell, is hollow.

    What a few samples say, too few for an interval, is left out beside points that have one.
    """
    found = [(_num_blocks(file), point) for file, point in points if point is not None]
    found = [each for each in found if each[1]["interval"][0] is not None] or found
    if not found:
        return
    x, y = [blocks for blocks, _ in found], [point["points"] for _, point in found]
    reach = [_reach(point) for _, point in found]
    dots = {"marker": style["marker"], "markersize": 5, "color": style["color"]}
    line = {"linestyle": style["linestyle"], "linewidth": 1.6, "color": style["color"]}
    axis.errorbar(x, y, yerr=[*zip(*reach, strict=True)], capsize=2, elinewidth=1, label=name, **{**line, **dots})
    hollow = [(blocks, point["points"]) for blocks, point in found if not point.get("learned", True)]
    if hollow:
        axis.plot(*zip(*hollow, strict=True), linestyle="", zorder=5, **{**dots, "markerfacecolor": "#ffffff"})


def _reach(point: Mapping[str, Any]) -> tuple[float, float]:
    """Return how far an interval goes below its estimate and above it; it may end where no share can be."""
    low, high = point["interval"]
    return (0.0, 0.0) if low is None else (point["points"] - low, high - point["points"])


def _ticks(axis: Any, files: Sequence[File]) -> None:
    numbers: list[int] = []
    for number in sorted({_num_blocks(file) for file in files}):
        if not numbers or number / max(numbers[-1], 1) >= _LEAST_RATIO:
            numbers.append(number)
    axis.set_xscale("log", base=2)
    axis.set_xticks(numbers, [str(number) for number in numbers])
    axis.minorticks_off()
    axis.set_xlim(numbers[0] / 1.25, _num_blocks(files[-1]) * 1.25)
