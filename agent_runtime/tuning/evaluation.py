"""An evaluation: files of samples answered under several conditions, as cells with intervals.

A cell is a kind of question in one file, or all kinds that are not decisions of chance alone. Full mode is the measure
of the others: the paired difference on the same items says what a block mode costs. A cell in which even full mode is
less than 20 points above chance proves nothing about block modes, and says so.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent_runtime.engine.loading import LoadedModel
from agent_runtime.environment import environment
from agent_runtime.tuning.findings import difference, share_right
from agent_runtime.tuning.samples import read_header, read_samples
from agent_runtime.tuning.scoring import Condition, Item, Scorer
from agent_runtime.tuning.tables import as_table, with_interval
from agent_runtime.turn import Mode

ALL = "all"
# Above chance by fewer points, full mode itself has not learned what is asked.
_LEAST_LEARNED = 20.0


@dataclass(frozen=True, slots=True)
class Cell:
    """The items of one kind in one file, answered under every condition."""

    kind: str
    conditions: tuple[Condition, ...]
    items: tuple[Item, ...]

    @property
    def chance(self) -> float:
        """Return the points that blind guesses would reach."""
        return 100 * statistics.fmean(item.chance for item in self.items)

    @property
    def is_learned(self) -> bool:
        """Whether the first condition is far enough above chance for a difference to mean something."""
        return share_right(self.items, 0).points >= self.chance + _LEAST_LEARNED

    def report(self) -> dict[str, Any]:
        """Return the cell as the JSON report has it."""
        first, *others = range(len(self.conditions))
        names = [condition.name for condition in self.conditions]
        report: dict[str, Any] = {
            "kind": self.kind,
            "chance": round(self.chance, 2),
            "learned": self.is_learned,
            "right": {names[number]: share_right(self.items, number).report() for number in (first, *others)},
            "cost": {names[number]: difference(self.items, first, number).report() for number in others},
        }
        masses = [item.legal_mass for item in self.items if item.legal_mass is not None]
        if masses:
            report["legal_mass"] = {
                name: statistics.fmean(mass[number] for mass in masses) for number, name in enumerate(names)
            }
        return report


def evaluate(
    loaded: LoadedModel,
    files: Sequence[Path],
    conditions: Sequence[Condition],
    row_tokens: int,
    tell: Callable[[Path, int], None],
) -> dict[str, Any]:
    """Answer all samples of `files` under all conditions, the first being the measure, and return the report.

    `tell` hears the file and the number of items answered so far. Raises SamplesError.
    """
    scorer = Scorer(loaded, conditions, row_tokens)
    return {
        "environment": environment(loaded),
        "block_modes": list(loaded.block_modes),
        "context": loaded.context_limit,
        "conditions": [condition.name for condition in scorer.conditions],
        "files": [_file(scorer, path, tell) for path in files],
    }


def _file(scorer: Scorer, path: Path, tell: Callable[[Path, int], None]) -> dict[str, Any]:
    header = read_header(path)
    too_long: list[int] = []
    items: list[Item] = []
    for item in scorer.score(read_samples(path), lambda number, tokens: too_long.append(tokens)):
        items.append(item)
        if len(items) % 100 == 0:
            tell(path, len(items))
    kinds = sorted({item.kind for item in items})
    cells = [Cell(kind, scorer.conditions, tuple(each for each in items if each.kind == kind)) for kind in kinds]
    if len(kinds) > 1:
        cells.insert(0, Cell(ALL, scorer.conditions, tuple(items)))
    blocks = [item.num_blocks for item in items]
    return {
        "file": path.name,
        "generator": header.generator,
        "split": header.split,
        "arguments": dict(header.arguments),
        "blocks": [min(blocks), max(blocks)] if blocks else None,
        "too_long": {"samples": len(too_long), "most_tokens": max(too_long, default=0)},
        "cells": [cell.report() for cell in cells],
    }


def condition_of(name: str) -> Condition:
    """Return the condition that a command line names: a mode, or a mode and `:unmoved`. Raises ValueError."""
    mode, _, how = name.partition(":")
    if how not in ("", "unmoved") or (how and mode == Mode.FULL):
        raise ValueError(name)
    return Condition(Mode(mode), moved=not how)


def as_markdown(report: dict[str, Any]) -> str:
    """Return a report as a table: a line per file and kind, shares right, and what each condition costs."""
    names = report["conditions"]
    head = ["file", "kind", "items", "chance", *names, *[f"{names[0]} - {name}" for name in names[1:]]]
    lines = []
    for file in report["files"]:
        for cell in file["cells"]:
            shares = [f"{cell['right'][name]['points']:.1f}" for name in names]
            costs = [
                with_interval(cell["cost"][name]) + ("" if cell["learned"] else " (not learned)") for name in names[1:]
            ]
            items = cell["right"][names[0]]["items"]
            lines.append([file["file"], cell["kind"], str(items), f"{cell['chance']:.1f}", *shares, *costs])
    return as_table(head, lines)
