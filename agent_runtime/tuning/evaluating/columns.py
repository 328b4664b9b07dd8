"""The columns of a comparison, a model under a condition each, and which of them are compared with which."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent_runtime.tuning.errors import BadArgument
from agent_runtime.tuning.evaluating.conditions import condition_of


@dataclass(frozen=True, slots=True)
class Column:
    """A model under a condition; `name` is what tables and plots call it."""

    model: str
    condition: str
    name: str


Pair = tuple[Column, Column]


def columns_of(models: Mapping[str, Mapping[str, Any]]) -> list[Column]:
    """Return a column for each condition of each model; of one model alone the condition is its name."""
    return [
        Column(model, condition, condition if len(models) == 1 else f"{model} {condition}")
        for model, report in models.items()
        for condition in report["conditions"]
    ]


def pairs_of(columns: Sequence[Column], against: Sequence[str]) -> list[Pair]:
    """Return each column with what `--against` says it is compared with, the first column by default.

    Raises BadArgument.
    """
    meant = [_meant(each, columns) for each in against] or [(columns[0].model, columns[0].condition)]
    found = {(each.model, each.condition): each for each in columns}
    pairs = [
        (column, other)
        for model, condition in meant
        for column in columns
        if (other := found.get((model or column.model, condition or column.condition))) not in (None, column)
    ]
    return list(dict.fromkeys((column, other) for column, other in pairs if other is not None))


def difference_name(column: Column, other: Column) -> str:
    """Return what the difference of two columns is called."""
    return f"{column.name} - {other.name}"


def _meant(said: str, columns: Sequence[Column]) -> tuple[str | None, str | None]:
    """Return the model and the condition that `--against` names, None for the column's own."""
    name, _, mode = said.partition(":")
    try:
        condition = condition_of(mode).name if mode else None
    except ValueError:
        condition = mode
    if not said or all(name not in ("", each.model) or condition not in (None, each.condition) for each in columns):
        known = ", ".join(each.name for each in columns)
        raise BadArgument("--against", f"{said!r} is no NAME, NAME:MODE or :MODE of what was evaluated: {known}.")
    return name or None, condition
