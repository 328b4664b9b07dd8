"""What a Python game sends that is no JSON, found before pydantic writes it as something else: NaN as null, a set as an
array in any order."""

import math
from collections.abc import Iterable

from agent_runtime.turn import Json

# As deep as the server reads.
_MOST_LEVELS = 200


def not_json(value: Json, where: str = "", levels: int = 0) -> tuple[str, str] | None:
    """Return the first place below a value that is no JSON, as a path with dots, and what stands there in words.

    Tuples are arrays, and whole numbers as an object's keys are written as strings, as by `json`.
    """
    match value:
        case None | str() | int():
            return None
        case float():
            return None if math.isfinite(value) else (where, f"the number {value} has no JSON")
        case dict() | list() | tuple() if levels >= _MOST_LEVELS:
            return where, "it is nested too deep"
        case dict():
            strange = next((key for key in value if not isinstance(key, str | int)), None)
            if strange is not None:
                return where, f"the key {_shown(strange)} has no JSON: give a string"
            parts: Iterable[tuple[int | str, Json]] = value.items()
        case list() | tuple():
            parts = enumerate(value)
        case _:
            return where, f"{_shown(value)} has no JSON: give an object, an array, a string, a number, a bool or null"
    below = (not_json(part, f"{where}.{key}" if where else str(key), levels + 1) for key, part in parts)
    return next(filter(None, below), None)


def _shown(value: object) -> str:
    kind, text = type(value), repr(value)
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
    return f"the {name} {text if len(text) <= 60 else text[:57] + '...'}"
