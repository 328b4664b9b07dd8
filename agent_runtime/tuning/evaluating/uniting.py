"""The parts of one evaluation, which several processes made, as the report that one would have made.

Parts may have other files, and the same file under other conditions. What two parts both say has to be the same.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from agent_runtime.tuning.errors import PartsDiffer
from agent_runtime.tuning.evaluating.gains import Gains, differences, is_model, texts_of
from agent_runtime.tuning.evaluating.reports import Part, by_source, tallies_in
from agent_runtime.tuning.evaluating.tallies import FULL, Tally

Report = Mapping[str, Any]
_DECIDE = "Leave one of them out, or give them names of their own: NAME=REPORT."


def united(name: str, parts: Sequence[Part]) -> dict[str, Any]:
    """Return the report of the evaluation that `parts` are of. Raises PartsDiffer.

    What parts were measured on and is not the same for all stands in `differing`.
    """
    first = parts[0]
    for part in parts[1:]:
        if part.weights != first.weights:
            what = (
                f"they measured other weights ({first.model}, {first.weights[:12]}; {part.model}, {part.weights[:12]})"
            )
            raise PartsDiffer(name, first.path, part.path, what, "Name each model: NAME=REPORT.")
    files = _files(name, parts)
    report = {
        "environment": first.report["environment"],
        **{key: first.report[key] for key in ("block_modes", "context") if key in first.report},
        "conditions": _full_first(each for part in parts for each in part.report["conditions"]),
        "files": files,
        "generators": by_source([(file, tallies_in(file)) for file in files]),
    }
    if texts := _texts(name, parts):
        report["texts"] = texts
    if games := _games(name, parts):
        report["games"] = games
    if differing := _differing([part.report["environment"] for part in parts]):
        report["differing"] = differing
    return report


def _files(name: str, parts: Iterable[Part]) -> list[Report]:
    found: dict[str, tuple[Path, Report]] = {}
    for part in parts:
        for file in part.report["files"]:
            earlier = found.get(file["file"])
            found[file["file"]] = (
                (part.path, file)
                if earlier is None
                else (earlier[0], _Twice(name, earlier[0], part.path, earlier[1], file).merged())
            )
    return [file for _, file in found.values()]


class _Twice:
    """A file that two parts have."""

    def __init__(self, name: str, first_path: Path, second_path: Path, first: Report, second: Report) -> None:
        self._name = name
        self._paths = first_path, second_path
        self._first, self._second = first, second

    def merged(self) -> Report:
        """Return the file under the conditions of both. Raises PartsDiffer."""
        first, second, file = self._first, self._second, self._first["file"]
        if first["digest"] != second["digest"]:
            raise self._differ(f"what they call {file} is not the same file")
        pairs = list(zip(first["cells"], second["cells"], strict=False))
        if len(first["cells"]) != len(second["cells"]) or any(_items(one) != _items(other) for one, other in pairs):
            raise self._differ(f"they answered other items of {file}")
        for one, other in pairs:
            for condition in one["right"].keys() & other["right"].keys():
                self._check(one, other, condition)
        if all(other["right"].keys() <= one["right"].keys() for one, other in pairs):
            return first
        tallies = list(zip(tallies_in(first), tallies_in(second), strict=True))
        if any(one.items != other.items for one, other in tallies):
            raise self._differ(f"they answered other items of {file}")
        return {**first, "cells": [_merged(*each).cell_with_sums() for each in tallies]}

    def _check(self, one: Report, other: Report, condition: str) -> None:
        shares = one["right"][condition], other["right"][condition]
        sums = [(cell["sums"]["items"], cell["sums"]["right"][condition]) for cell in (one, other)]
        if shares[0] != shares[1] or sums[0] != sums[1]:
            points = " and ".join(f"{share['points']:.3f}" for share in shares)
            but = "" if shares[0]["points"] != shares[1]["points"] else ", and not of the same samples"
            raise self._differ(f"of {one['kind']} in {self._first['file']}, {points} % are right ({condition}){but}")

    def _differ(self, what: str) -> PartsDiffer:
        return PartsDiffer(self._name, *self._paths, what, _DECIDE)


def _items(cell: Report) -> tuple[str, int, int]:
    share = next(iter(cell["right"].values()))
    return cell["kind"], share["items"], share["samples"]


def _merged(one: Tally, other: Tally) -> Tally:
    both = {**one.right, **other.right}
    right = {name: both[name] for name in _full_first(both)}
    return Tally(one.kind, one.items, right, one.chance, one.decisions, {**one.legal_mass, **other.legal_mass})


def _full_first(conditions: Iterable[str]) -> list[str]:
    """Return each condition once, full mode first: it is the measure of the others, whichever part came first."""
    return sorted(dict.fromkeys(conditions), key=lambda name: name != FULL)


def _texts(name: str, parts: Iterable[Part]) -> list[Report]:
    """Return the texts of all parts, each once. Raises PartsDiffer."""
    found: dict[str, tuple[Path, Report]] = {}
    for part in parts:
        for text in part.report.get("texts", ()):
            path, earlier = found.setdefault(text["file"], (part.path, text))
            if earlier != text:
                raise PartsDiffer(name, path, part.path, f"they have other figures of {text['file']}", _DECIDE)
    return [text for _, text in found.values()]


def _games(name: str, parts: Iterable[Part]) -> list[Report]:
    """Return the contests of all parts, each once with the players of all of them. Raises PartsDiffer."""
    found: dict[str, tuple[Path, Report]] = {}
    for part in parts:
        for game in part.report.get("games", ()):
            path, earlier = found.setdefault(_contest(game), (part.path, game))
            if _rules(earlier) != _rules(game):
                what = f"they have played {_contest(game)} in other matches"
                raise PartsDiffer(name, path, part.path, what, _DECIDE)
            both = earlier["players"].keys() & game["players"].keys()
            if any(_player(earlier, player) != _player(game, player) for player in both):
                raise PartsDiffer(name, path, part.path, f"they have other figures of {_contest(game)}", _DECIDE)
            if game["players"].keys() - both:
                found[_contest(game)] = (path, _with_all_players(earlier, game))
    return [game for _, game in found.values()]


def _rules(game: Report) -> list[Any]:
    return [game[key] for key in ("wander", "seats", "matches", "measure")]


def _player(game: Report, name: str) -> list[Any]:
    """What is measured again comes to the same but for the time that it took."""
    player = {key: value for key, value in game["players"][name].items() if key != "decisions_per_s"}
    return [player, game["rewards"][name]]


def _with_all_players(game: Report, other: Report) -> Report:
    """Return a contest with the modes that the model has played in either part, and their differences."""
    players, gains = {**game["players"], **other["players"]}, {**Gains.of_game(game), **Gains.of_game(other)}
    order = sorted(_full_first(players), key=is_model, reverse=True)
    gains = {name: gains[name] for name in order}
    merged = {"players": {name: players[name] for name in order}, **differences(gains), "rewards": texts_of(gains)}
    return {**game, **merged}


def _contest(game: Report) -> str:
    options = f" {json.dumps(game['options'], sort_keys=True)}" if game["options"] else ""
    return f"{game['game']}{options} against {game['opponent'] or 'nobody'}"


def _differing(environments: Sequence[Report]) -> dict[str, list[Any]]:
    values = {key: [each.get(key) for each in environments] for key in environments[0]}
    return {
        key: [one for number, one in enumerate(each) if one not in each[:number]]
        for key, each in values.items()
        if any(one != each[0] for one in each)
    }
