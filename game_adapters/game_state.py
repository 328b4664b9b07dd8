"""A state as JSON: a copy of its own that nothing changes later, or the place where it is no JSON."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from game_adapters.errors import BadGameState

Json = Any

_HALF_PAIR = re.compile("[\ud800-\udfff]")
# More than Python itself writes in decimal, unless it is told to.
_MOST_BITS = 14_000


def json_state(game: str, agent: str, state: object) -> Json:
    """The state as it would come over the wire; tuples become arrays. Raises BadGameState with the place."""
    if isinstance(state, dict):
        try:
            copy = json.loads(json.dumps(state, allow_nan=False, ensure_ascii=False).encode())
        except (TypeError, ValueError, RecursionError):
            pass
        else:
            if copy == state or _wrong(state, "") is None:
                return copy
    where, found = _wrong(state, "") or ("", f"a {type(state).__name__}")
    raise BadGameState(game, agent, where, found)


def is_text(value: object) -> bool:
    """Whether a value is a string that can be sent and kept: without halves of surrogate pairs."""
    return isinstance(value, str) and not _HALF_PAIR.search(value)


def pointer_label(key: str) -> str:
    """A member's name as it stands in a JSON Pointer (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")


def class_name(kind: type) -> str:
    """A class by the name that finds it, module:Class; Python's own without a module."""
    name = kind.__qualname__.rpartition("<locals>.")[2]
    return name if kind.__module__ == "builtins" else f"{kind.__module__}:{name}"


def _wrong(value: object, where: str, depth: int = 0) -> tuple[str, str] | None:
    """The first place below a value that is no JSON, and what stands there."""
    match value:
        case str() if depth:
            return None if is_text(value) else (where, "a string with half of a surrogate pair")
        case int() if depth and value.bit_length() > _MOST_BITS:
            return where, f"an int of {value.bit_length():,} bits"
        case None | bool() | int() if depth:
            return None
        case float() if depth and math.isfinite(value):
            return None
        case dict() if depth < 200:
            for key, part in value.items():
                if not isinstance(key, str):
                    return where, f"a dict with the key {_named(key)}"
                if not is_text(key):
                    return where, f"a dict whose key {key!r} holds half of a surrogate pair"
                if found := _wrong(part, f"{where}/{pointer_label(key)}", depth + 1):
                    return found
            return None
        case list() | tuple() if depth and depth < 200:
            parts = enumerate(value)
            return next((found for i, part in parts if (found := _wrong(part, f"{where}/{i}", depth + 1))), None)
        case dict() | list() | tuple() if depth:
            return where, "something nested too deep"
    return where, _named(value)


def _named(value: object) -> str:
    if isinstance(value, Mapping):
        return f"a {type(value).__name__}"
    kind, said = type(value), repr(value)
    return f"the {class_name(kind).replace(':', '.')} {said if len(said) <= 60 else said[:57] + '...'}"
