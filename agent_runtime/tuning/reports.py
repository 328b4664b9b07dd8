"""Reports of evaluations as `hotseat evaluate --out` writes them, read back, and what is said of several files."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent_runtime.tuning.errors import NotEvaluation
from agent_runtime.tuning.tallies import Tally, joined_by_kind


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
    except ValueError:
        raise NotEvaluation(path, "it is not JSON") from None
    try:
        part = Part(path, report)
        if not (part.model and part.weights and report["conditions"]):
            raise ValueError("it names no model or no conditions")
        for file in report["files"]:
            _check_file(file)
        for game in report.get("games", ()):
            _check_all(game, "game", "options", "opponent", "wander", "matches", "players")
        for text in report.get("texts", ()):
            _check_all(text, "file", "conversations", "tokens", "perplexity")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        why = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise NotEvaluation(path, why) from None
    return part


def _check_file(file: Mapping[str, Any]) -> None:
    _check_all(file, "file", "generator", "split", "arguments", "blocks", "cells")
    for cell in file["cells"]:
        _check_all(cell, "kind", "chance", "learned", "right", "cost")
        for share in (*cell["right"].values(), *cell["cost"].values()):
            _check_all(share, "points", "interval", "items", "samples")
        Tally.of_cell(cell)


def _check_all(values: Mapping[str, Any], *names: str) -> None:
    for name in names:
        values[name]


def tallies_in(file: Mapping[str, Any]) -> list[Tally]:
    """Return the sums of a report's file by kind; none if it was written before reports kept them."""
    tallies = [Tally.of_cell(cell) for cell in file["cells"]]
    return [tally for tally in tallies if tally is not None]


def source_of(file: Mapping[str, Any]) -> str:
    """Return the generator of a report's file, and of games which."""
    return " ".join([file["generator"], *filter(None, [file["arguments"].get("game")])])


def by_source(files: Sequence[tuple[Mapping[str, Any], Sequence[Tally]]]) -> list[dict[str, Any]]:
    """Return the cells of each generator that there are several files of, if all of them keep their sums."""
    reports = []
    for source in dict.fromkeys(source_of(file) for file, _ in files):
        of_it = [(file, tallies) for file, tallies in files if source_of(file) == source and file["cells"]]
        if len(of_it) > 1 and all(tallies for _, tallies in of_it):
            cells = [tally.cell() for tally in joined_by_kind([tallies for _, tallies in of_it])]
            reports.append({"generator": source, "files": [file["file"] for file, _ in of_it], "cells": cells})
    return reports
