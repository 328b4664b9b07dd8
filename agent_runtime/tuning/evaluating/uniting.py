"""The parts of one evaluation, which several processes made, as the report that one would have made.

Parts may have other files, and the same file under other conditions. What two parts both say has to be the same.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from agent_runtime.tuning.errors import PartsDiffer
from agent_runtime.tuning.evaluating.reports import Part, by_source, tallies_in
from agent_runtime.tuning.evaluating.tallies import Tally

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
        "conditions": list(dict.fromkeys(each for part in parts for each in part.report["conditions"])),
        "files": files,
        "generators": by_source([(file, tallies_in(file)) for file in files]),
    }
    if texts := _once(name, parts, "texts", lambda text: str(text["file"])):
        report["texts"] = texts
    if games := _once(name, parts, "games", _contest):
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
    right = {**one.right, **other.right}
    return Tally(one.kind, one.items, right, one.chance, one.decisions, {**one.legal_mass, **other.legal_mass})


def _once(name: str, parts: Iterable[Part], what: str, key_of: Any) -> list[Report]:
    """Return what parts have of texts or games, each once. Raises PartsDiffer."""
    found: dict[str, tuple[Path, Report]] = {}
    for part in parts:
        for each in part.report.get(what, ()):
            path, earlier = found.setdefault(key_of(each), (part.path, each))
            if _without_speed(earlier) != _without_speed(each):
                raise PartsDiffer(name, path, part.path, f"they have other figures of {key_of(each)}", _DECIDE)
    return [each for _, each in found.values()]


def _contest(game: Report) -> str:
    options = f" {json.dumps(game['options'], sort_keys=True)}" if game["options"] else ""
    return f"{game['game']}{options} against {game['opponent'] or 'nobody'}"


def _without_speed(values: Any) -> Any:
    """What is measured again comes to the same but for the time that it took."""
    if not isinstance(values, Mapping):
        return values
    return {key: _without_speed(value) for key, value in values.items() if key not in ("decisions_per_s", "at_once")}


def _differing(environments: Sequence[Report]) -> dict[str, list[Any]]:
    values = {key: [each.get(key) for each in environments] for key in environments[0]}
    return {
        key: [one for number, one in enumerate(each) if one not in each[:number]]
        for key, each in values.items()
        if any(one != each[0] for one in each)
    }
