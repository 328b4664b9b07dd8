"""An evaluation: files of samples answered under several conditions, as cells with intervals.

A cell is a kind of question in one file, or all kinds that are not decisions of chance alone. Full mode is the measure
of the others: the paired difference on the same items says what a block mode costs. A cell in which even full mode is
less than 20 points above chance proves nothing about block modes, and says so. Where several files are of one
generator, a kind is also a cell over all of them.

What was asked before behind the same blocks in the same file is left out, and so is what leaves no choice: of a small
game a file holds some positions hundreds of times, and their answers are one answer.
"""

import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agent_runtime.engine.loading import LoadedModel
from agent_runtime.environment import environment
from agent_runtime.tuning.findings import difference, share_right
from agent_runtime.tuning.samples import Header, Sample, read_header, read_samples
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
    conditions = tuple(conditions)
    answered = []
    if files:  # a model that is served may be one that packed rows do not do for
        scorer = Scorer(loaded, conditions, row_tokens)
        answered = [_answered(scorer, path, tell) for path in files]
    return {
        "environment": environment(loaded),
        "block_modes": list(loaded.block_modes),
        "context": loaded.context_limit,
        "conditions": [condition.name for condition in conditions],
        "files": [each.report(conditions) for each in answered],
        "generators": _by_generator(answered, conditions),
    }


@dataclass(frozen=True, slots=True)
class _Answered:
    """A file, what was answered of it, the tokens of samples that were too long, and how many asks were left out."""

    path: Path
    header: Header
    items: tuple[Item, ...]
    too_long: tuple[int, ...]
    repeated: int

    @property
    def source(self) -> str:
        """The generator, and of games which."""
        return " ".join([self.header.generator, *filter(None, [self.header.arguments.get("game")])])

    def report(self, conditions: tuple[Condition, ...]) -> dict[str, Any]:
        blocks = [item.num_blocks for item in self.items]
        return {
            "file": self.path.name,
            "generator": self.header.generator,
            "split": self.header.split,
            "arguments": dict(self.header.arguments),
            "blocks": [min(blocks), max(blocks)] if blocks else None,
            "too_long": {"samples": len(self.too_long), "most_tokens": max(self.too_long, default=0)},
            "repeated": self.repeated,
            "cells": [cell.report() for cell in _cells(self.items, conditions)],
        }


def _answered(scorer: Scorer, path: Path, tell: Callable[[Path, int], None]) -> _Answered:
    too_long: list[int] = []
    repeated: list[int] = []
    items: list[Item] = []
    samples = _distinct(read_samples(path), repeated.append)
    for item in scorer.score(samples, lambda number, tokens: too_long.append(tokens)):
        items.append(item)
        if len(items) % 100 == 0:
            tell(path, len(items))
    return _Answered(path, read_header(path), tuple(items), tuple(too_long), sum(repeated))


def _distinct(samples: Iterable[Sample], left_out: Callable[[int], None]) -> Iterator[Sample]:
    """Yield samples without the asks that came before, or that only one action answers."""
    seen: set[tuple[int, str]] = set()
    for sample in samples:
        state = hash((sample.anchor, sample.blocks))
        asks = []
        for ask in sample.asks:
            if ask.chance < 1 and (state, ask.observation) not in seen:
                seen.add((state, ask.observation))
                asks.append(ask)
        left_out(len(sample.asks) - len(asks))
        if asks:
            yield replace(sample, asks=tuple(asks))


def _cells(items: Sequence[Item], conditions: tuple[Condition, ...]) -> list[Cell]:
    kinds = sorted({item.kind for item in items})
    cells = [Cell(kind, conditions, tuple(each for each in items if each.kind == kind)) for kind in kinds]
    return [Cell(ALL, conditions, tuple(items)), *cells] if len(kinds) > 1 else cells


def _by_generator(answered: Sequence[_Answered], conditions: tuple[Condition, ...]) -> list[dict[str, Any]]:
    """Return the cells of each generator that there are several files of, their samples numbered through."""
    reports = []
    for source in dict.fromkeys(each.source for each in answered):
        of_it = [each for each in answered if each.source == source and each.items]
        items: list[Item] = []
        first = 0
        for each in of_it:
            items += [replace(item, sample=first + item.sample) for item in each.items]
            first += 1 + max(item.sample for item in each.items)
        if len(of_it) > 1:
            cells = [cell.report() for cell in _cells(items, conditions)]
            reports.append({"generator": source, "files": [each.path.name for each in of_it], "cells": cells})
    return reports


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
    together = [{**each, "file": f"all of {each['generator']}"} for each in report["generators"]]
    for file in [*report["files"], *together]:
        for cell in file["cells"]:
            shares = [f"{cell['right'][name]['points']:.1f}" for name in names]
            costs = [
                with_interval(cell["cost"][name]) + ("" if cell["learned"] else " (not learned)") for name in names[1:]
            ]
            items = cell["right"][names[0]]["items"]
            lines.append([file["file"], cell["kind"], str(items), f"{cell['chance']:.1f}", *shares, *costs])
    return as_table(head, lines)
