"""Reports of evaluations as `hotseat evaluate --out` writes them, read back, and what is said of several files."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent_runtime.tuning.errors import NotEvaluation
from agent_runtime.tuning.evaluating.findings import within_bounds
from agent_runtime.tuning.evaluating.gains import Gains, differences
from agent_runtime.tuning.evaluating.report_form import check_form
from agent_runtime.tuning.evaluating.tallies import ALL, Tally, joined_by_kind, of_all
from agent_runtime.tuning.samples import held_out_of


@dataclass(frozen=True, slots=True)
class Part:
    """A report that was read, and the file that it stands in."""

    path: Path
    report: Mapping[str, Any]

    @property
    def model(self) -> str:
        """Return what the model that was measured calls itself."""
        return str(self.report["environment"]["model"])

    @property
    def weights(self) -> str:
        """Return the digest of the weights that were measured."""
        return str(self.report["environment"]["weights_digest"])


def read_report(path: Path) -> Part:
    """Read a report. Raises NotEvaluation."""
    try:
        report = json.loads(path.read_bytes())
    except OSError as error:
        raise NotEvaluation(path, f"it cannot be read ({error.strerror or error})") from error
    except (ValueError, RecursionError):
        raise NotEvaluation(path, "it is not JSON") from None
    try:
        check_form(report)
        report = _bounded(report)
        for file in report["files"]:
            _check_sums(file)
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        why = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise NotEvaluation(path, why) from None
    return Part(path, {**report, "files": [_as_of_now(file) for file in report["files"]]})


def _bounded(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return a report whose intervals end where shares and differences can be: those of before go on beyond.

    What is said of games beside their players comes from the rewards again. Raises ValueError where these do not add up
    to what is said of the players.
    """

    def cell(said: Mapping[str, Any]) -> dict[str, Any]:
        right = {name: within_bounds(share) for name, share in said["right"].items()}
        cost = {name: within_bounds(share, is_difference=True) for name, share in said["cost"].items()}
        return {**said, "right": right, "cost": cost}

    def player(said: Mapping[str, Any]) -> dict[str, Any]:
        return {**said, **{name: within_bounds(said[name]) for name in ("score", "agreement") if name in said}}

    def game(said: Mapping[str, Any]) -> dict[str, Any]:
        players = {name: player(each) for name, each in said["players"].items()}
        return {**said, "players": players, **differences(Gains.of_game({**said, "players": players}))}

    bounded = {**report, "files": [{**file, "cells": [*map(cell, file["cells"])]} for file in report["files"]]}
    return {**bounded, "games": [*map(game, report["games"])]} if "games" in report else bounded


def _as_of_now(file: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a file with what reports of before do not have: the kinds that are held out, and the cell without them."""
    file = {**file, "held_out": [*held_out_of(file)]}
    cells = {cell["kind"]: cell for cell in file["cells"]}
    tallies = joined_by_kind([tallies_in(file)], file["held_out"])
    if len(tallies) == len(cells):
        return file
    return {**file, "cells": [cells.get(tally.kind) or tally.cell_with_sums() for tally in tallies]}


def _check_sums(file: Mapping[str, Any]) -> None:
    """Look whether the sums of a file's cells say what its shares say, all of the same samples, and of all kinds."""
    tallies = tallies_in(file)
    if len({len(tally.items) for tally in tallies}) > 1:
        raise ValueError(f"the cells of {file['file']} keep sums of other samples")
    if len(tallies) > 1 and of_all(tallies).kind != ALL:
        raise ValueError(f"the cells of {file['file']} are of several kinds, and none is of {ALL}")


def tallies_in(file: Mapping[str, Any]) -> list[Tally]:
    """Return the sums of a report's file by kind."""
    return [Tally.of_cell(cell) for cell in file["cells"]]


def source_of(file: Mapping[str, Any]) -> str:
    """Return the generator of a report's file, and of games which."""
    return " ".join([file["generator"], *map(str, filter(None, [file["arguments"].get("game")]))])


def held_out_in(files: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the kinds that any of some files of reports holds out."""
    return list(dict.fromkeys(kind for file in files for kind in file["held_out"]))


def by_source(files: Sequence[tuple[Mapping[str, Any], Sequence[Tally]]]) -> list[dict[str, Any]]:
    """Return the cells of each generator that there are several files of.

    They are under the conditions that all of these files were answered under; none if there is no such condition. A
    file that asks what another one asks, under another name, is no further evidence.
    """
    by_digest: dict[str, tuple[Mapping[str, Any], Sequence[Tally]]] = {}
    for file, tallies in files:
        by_digest.setdefault(file["digest"], (file, tallies))
    files = [*by_digest.values()]
    reports = []
    for source in dict.fromkeys(source_of(file) for file, _ in files):
        of_it = [(file, tallies) for file, tallies in files if source_of(file) == source and file["cells"]]
        if len(of_it) > 1:
            joined = joined_by_kind([tallies for _, tallies in of_it], held_out_in(file for file, _ in of_it))
            if all(tally.right for tally in joined):
                cells = [tally.cell() for tally in joined]
                reports.append({"generator": source, "files": [file["file"] for file, _ in of_it], "cells": cells})
    return reports
