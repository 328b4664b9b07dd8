"""Models and their conditions side by side, on the same files: a column for each model under each condition.

A difference of two columns is taken sample by sample, over the samples that both have answered, of files of one digest:
reports keep the sums. It says "not learned" where neither model's full mode is 20 points above chance. Of games it is
taken match by match (`comparing_games`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent_runtime.tuning.evaluating.columns import Column, Pair, columns_of, difference_name, pairs_of
from agent_runtime.tuning.evaluating.comparing_games import compare_games
from agent_runtime.tuning.evaluating.reports import held_out_in, source_of, tallies_in
from agent_runtime.tuning.evaluating.tallies import Tally, in_order, is_of_several, joined_by_kind, of_all
from agent_runtime.tuning.evaluating.uniting import Report

FORMAT = "hotseat-comparison-1"


@dataclass(frozen=True, slots=True)
class _Answered:
    """A file as one model answered it: its cells and their sums, by kind."""

    report: Report
    cells: Mapping[str, Report]
    tallies: Mapping[str, Tally]

    @classmethod
    def of(cls, report: Report) -> "_Answered":
        cells = {str(cell["kind"]): cell for cell in report["cells"]}
        return cls(report, cells, {tally.kind: tally for tally in tallies_in(report)})

    def is_of(self, other: "_Answered") -> bool:
        """Whether both are of one file, so that what they say of a sample is said of the same one."""
        if self.report["digest"] != other.report["digest"]:
            return False
        if not (self.tallies and other.tallies):
            return True
        items = [of_all(list(each.tallies.values())).items for each in (self, other)]
        if len(items[0]) != len(items[1]):
            return False
        both = [all(counts) for counts in zip(*items, strict=True)]
        nothing = (0,) * len(both)
        return all(
            _agree([each.tallies[kind].items if kind in each.tallies else nothing for each in (self, other)], both)
            for kind in self.tallies.keys() | other.tallies.keys()
            if not is_of_several(kind)
        )


_Row = dict[str, _Answered]


def compare(models: Mapping[str, Report], against: Sequence[str] = ()) -> dict[str, Any]:
    """Return a comparison of reports by name, as it is written as JSON.

    `against` says what columns are compared with: NAME:MODE a model in a mode, NAME that model in the column's mode,
    :MODE the column's model in a mode. By default it is the first model under its first condition. Raises BadArgument.
    """
    columns = columns_of(models)
    pairs = pairs_of(columns, against)
    rows = _rows({model: [_Answered.of(file) for file in report["files"]] for model, report in models.items()})
    return {
        "format": FORMAT,
        "columns": [{"name": each.name, "model": each.model, "condition": each.condition} for each in columns],
        "differences": [
            {"name": difference_name(*pair), "column": pair[0].name, "other": pair[1].name} for pair in pairs
        ],
        "files": [_file(label, row, columns, pairs) for label, row in _labelled(rows)],
        "kinds": _kinds(_labelled(rows), columns, pairs),
        "games": compare_games(models, columns, pairs),
        "models": dict(models),
    }


def _rows(models: Mapping[str, Sequence[_Answered]]) -> list[_Row]:
    """Return the files, each with the models that answered it, by generator and number of blocks."""
    rows: list[_Row] = []
    for model, files in models.items():
        for file in files:
            row = next((row for row in rows if model not in row and all(map(file.is_of, row.values()))), None)
            if row is None:
                rows.append({model: file})
            else:
                row[model] = file
    return sorted(rows, key=_place)


def _place(row: _Row) -> tuple[str, str, list[int]]:
    arguments = dict(_any(row)["arguments"])
    blocks = arguments.pop("blocks", None)
    found = next((each.report["blocks"] for each in row.values() if each.report["blocks"]), blocks)
    return source_of(_any(row)), str(arguments.get("block_tokens", "")), found or [0, 0]


def _any(row: _Row) -> Report:
    return next(iter(row.values())).report


def _labelled(rows: Iterable[_Row]) -> list[tuple[str, _Row]]:
    """Return rows with their files' names; of files of one name and other contents the second is called (2)."""
    seen: dict[str, int] = {}
    labelled = []
    for row in rows:
        name = _any(row)["file"]
        seen[name] = seen.get(name, 0) + 1
        labelled.append((name if seen[name] == 1 else f"{name} ({seen[name]})", row))
    return labelled


def _file(label: str, row: _Row, columns: Sequence[Column], pairs: Sequence[Pair]) -> dict[str, Any]:
    kinds = in_order({kind for each in row.values() for kind in each.cells})
    return {
        "file": label,
        "digest": _any(row)["digest"],
        "generator": source_of(_any(row)),
        "arguments": _any(row)["arguments"],
        "blocks": next((each.report["blocks"] for each in row.values() if each.report["blocks"]), None),
        "cells": [_cell(kind, row, columns, pairs) for kind in kinds],
    }


def _cell(kind: str, row: _Row, columns: Sequence[Column], pairs: Sequence[Pair]) -> dict[str, Any]:
    cells = {model: each.cells[kind] for model, each in row.items() if kind in each.cells}
    right = {
        each.name: cells[each.model]["right"][each.condition]
        for each in columns
        if each.model in cells and each.condition in cells[each.model]["right"]
    }
    most = max(right.values(), key=lambda share: int(share["items"]))
    differences = {
        difference_name(one, other): {
            **found,
            "learned": bool(cells[one.model]["learned"] or cells[other.model]["learned"]),
        }
        for one, other in pairs
        if one.name in right and other.name in right
        if (found := _difference(kind, one, other, row)) is not None
    }
    chance = next(cells[each.model]["chance"] for each in columns if right.get(each.name) is most)
    return {"kind": kind, "chance": chance, "items": most["items"], "right": right, "differences": differences}


def _difference(kind: str, one: Column, other: Column, row: _Row) -> dict[str, Any] | None:
    """Return a difference of two columns; None if no sample has been answered by both."""
    tallies = row[one.model].tallies[kind], row[other.model].tallies[kind]
    estimate = tallies[0].above(one.condition, tallies[1], other.condition)
    return estimate.report() if estimate.items else None


def _kinds(rows: Sequence[tuple[str, _Row]], columns: Sequence[Column], pairs: Sequence[Pair]) -> list[dict[str, Any]]:
    """Return the kinds of each generator over the files that all columns have, and the samples that all answered."""
    found = []
    for source in dict.fromkeys(source_of(_any(row)) for _, row in rows):
        of_it = [
            (label, common)
            for label, row in rows
            if source_of(_any(row)) == source
            and all(each.model in row and _has(row[each.model], each.condition) for each in columns)
            and (common := _in_common(row)) is not None
        ]
        if not of_it:
            continue
        together = {model: _together([row[model] for _, row in of_it]) for model in of_it[0][1]}
        kinds = list(dict.fromkeys(kind for each in together.values() for kind in each.cells))
        if len(of_it) > 1 or len(kinds) > 1:
            cells = [_cell(kind, together, columns, pairs) for kind in kinds]
            found.append({"generator": source, "files": [label for label, _ in of_it], "cells": cells})
    return found


def _has(file: _Answered, condition: str) -> bool:
    return bool(file.cells) and all(condition in cell["right"] for cell in file.cells.values())


def _in_common(row: _Row) -> _Row | None:
    """Return a file with the samples that all models answered; None if there are none."""
    items = [of_all(list(each.tallies.values())).items for each in row.values()]
    kept = [all(counts) for counts in zip(*items, strict=True)]
    return {model: _only(each, kept) for model, each in row.items()} if any(kept) else None


def _only(file: _Answered, kept: Sequence[bool]) -> _Answered:
    some = [tally.of_samples(kept) for tally in file.tallies.values()]
    return _answered(file.report, [tally for tally in some if tally.num_items])


def _answered(report: Report, tallies: Iterable[Tally]) -> _Answered:
    by_kind = {tally.kind: tally for tally in tallies}
    return _Answered(report, {kind: tally.cell() for kind, tally in by_kind.items()}, by_kind)


def _together(files: Sequence[_Answered]) -> _Answered:
    """Return several files of a model as one."""
    held_out = held_out_in(file.report for file in files)
    return _answered(files[0].report, joined_by_kind([list(file.tallies.values()) for file in files], held_out))


def _agree(items: Sequence[Sequence[int]], both: Sequence[bool]) -> bool:
    """Whether two models have answered as many items of a kind of every sample that both have answered."""
    return all(count == other for count, other, is_both in zip(*items, both, strict=True) if is_both)
