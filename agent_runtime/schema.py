"""JSON Schemas of an action's parameters: what they allow, listed where it is little. No model is needed for it.

An argument object is written as canonical compact JSON, with its properties in the schema's order, and holds no
property that the schema does not name: an action's arguments are a legal action, so what is not listed is not legal.
"""

import json
from collections.abc import Mapping, Set
from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar

from llguidance import LLMatcher

from agent_runtime.errors import BadActions

Schema = Mapping[str, Any]

_ANNOTATIONS = frozenset({"title", "description", "default", "examples", "deprecated", "$comment", "$schema", "$id"})


@dataclass(eq=False)
class BadSchema(BadActions):
    """A schema that cannot constrain an answer."""

    code: ClassVar[str] = "bad_schema"

    def __str__(self) -> str:
        return (
            f"The schema cannot be used: {self.why}. Change the action's schema, or list its combinations as actions."
        )


def grammar_of(schema: Schema) -> str:
    """Return one argument object's schema as the grammar library reads it. Raises BadSchema."""
    text = json.dumps(closed(schema), separators=(",", ":"))
    json.loads(text, parse_int=_exact)
    return str(
        LLMatcher.grammar_from_json_schema(
            text, overrides={"whitespace_flexible": False, "item_separator": ",", "key_separator": ":"}
        )
    )


def check_schema(schema: Schema) -> None:
    """Refuse a schema that no answer can be decoded under, whatever the model. Raises BadSchema."""
    if why := LLMatcher.validate_grammar(grammar_of(schema)):
        raise BadSchema(reason(why))


def reason(why: str) -> str:
    """Return the part of what the grammar library says that names the reason."""
    return why.splitlines()[-1].strip().rstrip(".")


def _exact(digits: str) -> int:
    """The grammar library reads numbers as float64 and would write another number than a larger one."""
    number = int(digits)
    if abs(number) > 2**53:
        raise BadSchema(f"{digits} is beyond 2^53, where JSON numbers are no longer exact")
    return number


def closed(schema: Schema) -> dict[str, Any]:
    """Return the schema of an argument object that allows no property it does not name. Raises BadSchema."""
    if not isinstance(schema, Mapping):
        raise BadSchema("it is not a JSON object")
    if schema.get("type", "object") != "object" or not {"type", "properties"} & schema.keys():
        raise BadSchema('an action takes an object of named parameters: give it "type": "object" and "properties"')
    try:
        return {"type": "object", **_closed(schema)}
    except RecursionError:
        raise BadSchema("it is nested too deeply") from None


def _closed(schema: Schema) -> dict[str, Any]:
    new = dict(schema)
    if isinstance(schema.get("properties"), Mapping):
        new["properties"] = {
            name: _closed(inner) if isinstance(inner, Mapping) else inner
            for name, inner in schema["properties"].items()
        }
        new.setdefault("additionalProperties", False)
    if isinstance(schema.get("items"), Mapping):
        new["items"] = _closed(schema["items"])
    return new


def expand_schema(schema: Schema, limit: int = 512) -> list[dict[str, Any]] | None:
    """Return every argument object that a small schema allows, or None if they are more than `limit` or not countable.

    The order is canonical: properties in the schema's order, the last one changing fastest, values as listed (false
    before true, integers upwards), an optional property's absence last. Raises BadSchema if nothing is allowed.
    """
    values = _values(closed(schema), limit)
    if values is not None and not values:
        raise BadSchema("it allows no arguments at all")
    return values


def _values(schema: Any, limit: int) -> list[Any] | None:
    """Return all values of a schema without repetition, None if they cannot be listed or are more than `limit`."""
    if not isinstance(schema, Mapping):
        return None
    keys = schema.keys() - _ANNOTATIONS
    if "const" in keys and keys <= {"const", "type"}:
        return _of_type(schema, [schema["const"]], limit)
    if "enum" in keys and keys <= {"enum", "type"} and isinstance(schema["enum"], list):
        return _of_type(schema, list(schema["enum"]), limit)
    match schema.get("type"):
        case "boolean" if keys == {"type"}:
            return [False, True]
        case "null" if keys == {"type"}:
            return [None]
        case "integer":
            return _integers(schema, keys, limit)
        case "object":
            return _objects(schema, keys, limit)
    return None


def _of_type(schema: Schema, values: list[Any], limit: int) -> list[Any] | None:
    names = schema.get("type")
    if names is not None:
        allowed = [names] if isinstance(names, str) else list(names)
        values = [value for value in values if any(_is(value, name) for name in allowed)]
    once = {json.dumps(value, sort_keys=True): value for value in values}
    return list(once.values()) if len(once) <= limit else None


def _is(value: Any, name: str) -> bool:
    if name in ("integer", "number"):
        kinds: tuple[type, ...] = (int,) if name == "integer" else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool)
    known: dict[str, type] = {"string": str, "boolean": bool, "null": type(None), "object": dict, "array": list}
    return isinstance(value, known.get(name, object))


def _integers(schema: Schema, keys: Set[str], limit: int) -> list[Any] | None:
    if not keys <= {"type", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}:
        return None
    if not all(isinstance(schema[key], int) and not isinstance(schema[key], bool) for key in keys - {"type"}):
        return None
    lowest = [schema[key] + step for key, step in (("minimum", 0), ("exclusiveMinimum", 1)) if key in keys]
    highest = [schema[key] - step for key, step in (("maximum", 0), ("exclusiveMaximum", 1)) if key in keys]
    step = schema.get("multipleOf", 1)
    if not lowest or not highest or step < 1:
        return None
    first = -(-max(lowest) // step) * step
    values = range(first, min(highest) + 1, step)
    return list(values) if len(values) <= limit else None


def _objects(schema: Schema, keys: Set[str], limit: int) -> list[Any] | None:
    if not keys <= {"type", "properties", "required", "additionalProperties"}:
        return None
    properties, required = schema.get("properties"), schema.get("required", [])
    if not isinstance(properties, Mapping) or schema.get("additionalProperties", False) is not False:
        return None
    if not isinstance(required, list) or not all(isinstance(name, str) and name in properties for name in required):
        return None
    choices: list[list[tuple[tuple[str, Any], ...]]] = []
    total = 1
    for name, inner in properties.items():
        values = _values(inner, limit)
        if values is None:
            return None
        absent: list[tuple[tuple[str, Any], ...]] = [] if name in required else [()]
        choices.append([((name, value),) for value in values] + absent)
        total *= len(choices[-1])
        if total > limit:
            return None
    return [dict(pair for chosen in combination for pair in chosen) for combination in product(*choices)]
