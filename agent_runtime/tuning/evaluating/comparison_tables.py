"""A comparison as tables in Markdown: files, kinds, games and texts, a column for each model under each condition."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from agent_runtime.tuning.evaluating.gains import BEST_CONSTANT, EXPERT, RANDOM
from agent_runtime.tuning.evaluating.tables import as_table, on_few, with_interval

_NO_KINDS = "By kind there is nothing: no file was answered alike under all of these columns."
_ALONE = (RANDOM, BEST_CONSTANT, EXPERT)
# What is said of how legally a model plays, with how many decimal places.
_LEGAL: Mapping[str, int] = MappingProxyType({"legal_mass": 3, "legal_anyway": 1})


def as_markdown(comparison: Mapping[str, Any]) -> str:
    """Return the tables, and behind them what has to be known to read them."""
    tables = []
    if comparison["files"]:
        tables.append(_files(comparison))
    if comparison["kinds"]:
        tables.append(_kinds(comparison))
    elif any(len(file["cells"]) > 1 for file in comparison["files"]):
        tables.append(f"{_NO_KINDS}\n")
    tables += [table for table in (_games(comparison), _players(comparison), _texts(comparison)) if table]
    return "\n".join(tables)


def _files(comparison: Mapping[str, Any]) -> str:
    lines = []
    for file in comparison["files"]:
        for cell in file["cells"][:1]:  # that of all kinds, if there are several
            lines.append([_blocks(file["blocks"]), file["file"], *_figures(cell, comparison)])
    shown = [cell for file in comparison["files"] for cell in file["cells"][:1]]
    return as_table(["blocks", "file", *_head(comparison)], lines) + on_few(_samples(shown), "samples")


def _kinds(comparison: Mapping[str, Any]) -> str:
    lines = []
    for group in comparison["kinds"]:
        source = f"{group['generator']} ({_counted(len(group['files']), 'file')})"
        lines += [[source, cell["kind"], *_figures(cell, comparison)] for cell in group["cells"]]
    shown = [cell for group in comparison["kinds"] for cell in group["cells"]]
    return as_table(["over", "kind", *_head(comparison)], lines) + on_few(_samples(shown), "samples")


def _samples(cells: Iterable[Mapping[str, Any]]) -> list[int]:
    """Return how many samples each figure of some cells is of."""
    return [each["samples"] for cell in cells for part in ("right", "differences") for each in cell[part].values()]


def _seeds(comparison: Mapping[str, Any]) -> list[int]:
    """Return how many seeds each figure of the games is of."""
    return [
        each["score"]["samples"]
        for game in comparison["games"]
        for part in ("players", "differences")
        for each in game[part].values()
    ]


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
    """Return the games that were played, models beside who plays without one, by what each game is played for.

    Where that is the reward, a second line has the score.
    """
    games = comparison["games"]
    if not games:
        return None
    columns = [each["name"] for each in comparison["columns"] if any(each["name"] in game["players"] for game in games)]
    alone = _alone(games)
    pairs = [each["name"] for each in comparison["differences"]]
    pairs = [name for name in pairs if any(name in game["differences"] for game in games)]
    lines = []
    for game in games:
        for measure in dict.fromkeys((game["measure"], "score")):
            by_column = [_gained(game["players"].get(name), measure, game) for name in columns]
            without = [f"{_mean(game['alone'][name][measure]):.2f}" if name in game["alone"] else "" for name in alone]
            above = [_gained(game["differences"].get(name), measure, game) for name in pairs]
            lines.append([*_contest(game), str(game["matches"]), measure, *by_column, *without, *above])
    head = ["game", "against", "matches", "by", *columns, *alone, *pairs]
    return as_table(head, lines) + on_few(_seeds(comparison), "seeds")


def _players(comparison: Mapping[str, Any]) -> str | None:
    """Return how every model plays in each mode: how far it is above who plays without one, and how legally."""
    lines, alone = [], _alone(comparison["games"])
    for game in comparison["games"]:
        for name, player in game["players"].items():
            above = [game["above"][name].get(other) for other in alone]
            lines.append(
                [
                    *_contest(game),
                    name,
                    f"{player['won']} / {player['drawn']} / {player['lost']}",
                    game["measure"],
                    *(_gained(each, game["measure"], game) for each in above),
                    *(f"{player[key]:.{places}f}" if key in player else "" for key, places in _LEGAL.items()),
                ]
            )
    head = ["game", "against", "player", "won / drawn / lost", "by", *(f"above {name}" for name in alone)]
    if not lines:
        return None
    return as_table([*head, "legal mass", "legal anyway"], lines) + on_few(_seeds(comparison), "seeds")


def _alone(games: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return who plays without a model in some of the games."""
    return [name for name in _ALONE if any(name in game["alone"] for game in games)]


def _contest(game: Mapping[str, Any]) -> tuple[str, str]:
    options = ", ".join(f"{name}={value}" for name, value in game["options"].items())
    wander = f", {100 * game['wander']:.0f} % astray" if game["wander"] else ""
    return f"{game['game']} ({options})" if options else game["game"], f"{game['opponent'] or 'nobody'}{wander}"


def _gained(found: Mapping[str, Any] | None, measure: str, game: Mapping[str, Any]) -> str:
    """Return a player's gain, or a difference of two, and of how many matches where that is fewer."""
    if found is None:
        return ""
    return f"{with_interval(found[measure])}{_fewer(found['score'], {'items': game['matches']})}"


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
    table = as_table(head, [[*key, *(line.get(model, "") for model in models)] for key, line in lines.items()])
    return table + on_few([int(conversations) for _, conversations, _ in lines], "conversations")
