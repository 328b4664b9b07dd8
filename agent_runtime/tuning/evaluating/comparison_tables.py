"""A comparison as tables in Markdown: files, kinds, games and texts, a column for each model under each condition."""

from collections.abc import Mapping, Sequence
from typing import Any

from agent_runtime.tuning.evaluating.tables import as_table, with_interval

_NO_KINDS = "By kind there is nothing: no file was answered alike under all of these columns."
_ALONE = ("random", "best constant", "expert")


def as_markdown(comparison: Mapping[str, Any]) -> str:
    """Return the tables, and behind them what has to be known to read them."""
    tables = []
    if comparison["files"]:
        tables.append(_files(comparison))
    if comparison["kinds"]:
        tables.append(_kinds(comparison))
    elif any(len(file["cells"]) > 1 for file in comparison["files"]):
        tables.append(f"{_NO_KINDS}\n")
    tables += [table for table in (_games(comparison), _texts(comparison)) if table]
    return "\n".join(tables)


def _files(comparison: Mapping[str, Any]) -> str:
    lines = []
    for file in comparison["files"]:
        for cell in file["cells"][:1]:  # that of all kinds, if there are several
            lines.append([_blocks(file["blocks"]), file["file"], *_figures(cell, comparison)])
    return as_table(["blocks", "file", *_head(comparison)], lines)


def _kinds(comparison: Mapping[str, Any]) -> str:
    lines = []
    for group in comparison["kinds"]:
        source = f"{group['generator']} ({_counted(len(group['files']), 'file')})"
        lines += [[source, cell["kind"], *_figures(cell, comparison)] for cell in group["cells"]]
    return as_table(["over", "kind", *_head(comparison)], lines)


def _head(comparison: Mapping[str, Any]) -> list[str]:
    names = [each["name"] for part in ("columns", "differences") for each in comparison[part]]
    return ["items", "chance", *names]


def _figures(cell: Mapping[str, Any], comparison: Mapping[str, Any]) -> list[str]:
    shares = [_share(cell["right"].get(column["name"]), cell) for column in comparison["columns"]]
    differences = [_difference(cell["differences"].get(each["name"]), cell) for each in comparison["differences"]]
    return [str(cell["items"]), f"{cell['chance']:.1f}", *shares, *differences]


def _share(share: Mapping[str, Any] | None, cell: Mapping[str, Any]) -> str:
    return "" if share is None else f"{share['points']:.1f}{_fewer(share, cell)}"


def _difference(found: Mapping[str, Any] | None, cell: Mapping[str, Any]) -> str:
    if found is None:
        return ""
    return f"{with_interval(found)}{_fewer(found, cell)}{'' if found['learned'] else ' (not learned)'}"


def _fewer(estimate: Mapping[str, Any], cell: Mapping[str, Any]) -> str:
    """Where others have answered more, a share is of other items than theirs."""
    return f" (of {estimate['items']})" if estimate["items"] < cell["items"] else ""


def _blocks(blocks: Sequence[int] | None) -> str:
    return "" if blocks is None else "-".join(str(each) for each in dict.fromkeys(blocks))


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _games(comparison: Mapping[str, Any]) -> str | None:
    """Return the games that were played, by the measure of each, and beside the models who plays without one."""
    lines: dict[tuple[str, ...], dict[str, str]] = {}
    columns = [column for column in comparison["columns"] if not column["condition"].endswith("not moved")]
    for model, report in comparison["models"].items():
        for game in report.get("games", ()):
            measure = game.get("measure", "score")  # as it was for all before reports said so
            options = ", ".join(f"{name}={value}" for name, value in game["options"].items())
            wander = f", {100 * game['wander']:.0f} % astray" if game["wander"] else ""
            against = f"{game['opponent'] or 'nobody'}{wander}"
            name = f"{game['game']} ({options})" if options else game["game"]
            line = lines.setdefault((name, against, str(game["matches"]), measure), {})
            for column in columns:
                if column["model"] == model and column["condition"] in game["players"]:
                    line[column["name"]] = with_interval(game["players"][column["condition"]][measure])
            for alone in _ALONE:
                if alone in game["players"]:
                    line.setdefault(alone, f"{_mean(game['players'][alone][measure]):.2f}")
    if not lines:
        return None
    names = [*(column["name"] for column in columns), *_ALONE]
    names = [name for name in names if any(name in line for line in lines.values())]
    head = ["game", "against", "matches", "by", *names]
    return as_table(head, [[*key, *(line.get(name, "") for name in names)] for key, line in lines.items()])


def _mean(estimate: Mapping[str, Any]) -> float:
    return float(estimate["points" if "points" in estimate else "mean"])


def _texts(comparison: Mapping[str, Any]) -> str | None:
    """Return the perplexity of texts, which is that of full mode."""
    lines: dict[tuple[str, ...], dict[str, str]] = {}
    models = [model for model, report in comparison["models"].items() if report.get("texts")]
    for model in models:
        for text in comparison["models"][model]["texts"]:
            key = (text["file"], str(text["conversations"]), str(text["tokens"]))
            if text["perplexity"]["mean"] is not None:
                lines.setdefault(key, {})[model] = with_interval(text["perplexity"])
    if not lines:
        return None
    head = ["text", "conversations", "tokens", *(f"perplexity, {model}" for model in models)]
    return as_table(head, [[*key, *(line.get(model, "") for model in models)] for key, line in lines.items()])
