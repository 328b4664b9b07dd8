"""`hotseat compare`."""

import glob
import json
from pathlib import Path
from typing import Annotated

import typer

from agent_runtime.commands.options import JsonOption, require_folders_of, say
from agent_runtime.errors import CannotWrite


def compare(
    reports: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME=]REPORT...",
            help="What `hotseat evaluate --out` wrote: a file, a folder of them, or a pattern. Those of one name are "
            "parts of one evaluation; without a name, of the model that they say.",
            show_default=False,
        ),
    ],
    against: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:MODE]|:MODE",
            help="What columns are compared with: a model in a mode; NAME, that model in the same mode; :MODE, the "
            "same model in a mode. May be given again. Default: the first model in its first mode.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(dir_okay=False, help="Write the comparison as JSON.")] = None,
    plot: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Draw right answers and differences by blocks: a .svg or .png.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Unite the parts of evaluations, and print models and modes side by side with their differences.

    Differences have 95 % intervals over whole samples, and are paired: two models are compared on the same questions,
    and in the same matches.
    """
    from agent_runtime.tuning.evaluating.comparing import compare as compared
    from agent_runtime.tuning.evaluating.comparison_tables import as_markdown
    from agent_runtime.tuning.evaluating.curves import plot_curves
    from agent_runtime.tuning.evaluating.reports import Part, read_report
    from agent_runtime.tuning.evaluating.uniting import united
    from agent_runtime.tuning.plots import require_plotting

    require_folders_of(out, plot)
    if plot is not None:
        require_plotting(plot)
    parts: dict[str, list[Part]] = {}
    for said in reports:
        name, paths = _meant(said)
        for part in map(read_report, paths):
            parts.setdefault(name or part.model, []).append(part)
    models = {name: united(name, each) for name, each in parts.items()}
    for name, report in models.items():
        for key, values in report.get("differing", {}).items():
            say(f"The parts of {name} have not the same {key}: {', '.join(map(str, values))}.")
    comparison = compared(models, [each.strip() for each in against or ()])
    text = json.dumps(comparison, indent=1) + "\n"
    if out is not None:
        try:
            out.write_text(text, encoding="utf-8")
        except OSError as error:
            raise CannotWrite(out, error.strerror or str(error)) from error
    print(text if as_json else as_markdown(comparison), end="")
    if plot is not None:
        plot_curves(comparison, plot)


def _meant(said: str) -> tuple[str | None, list[Path]]:
    """Return the name, if one is given, and the files of an argument."""
    name, separator, place = said.partition("=")
    if not separator or Path(said).exists():
        name, place = "", said
    if not place or separator and (not name and not Path(said).exists() or ":" in name):
        raise typer.BadParameter(f"{said!r} is not of the form NAME=REPORT, a name without ':'", param_hint="REPORT")
    path = Path(place)
    if path.is_dir():
        found = sorted(path.glob("*.json"))
    else:
        found = [path] if path.exists() else sorted(map(Path, glob.glob(place)))
    if not found:
        raise typer.BadParameter(f"{place!r}: there is no such file, and nothing like it", param_hint="REPORT")
    return name or None, found
