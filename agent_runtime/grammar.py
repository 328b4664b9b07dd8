"""Answers that must follow a JSON Schema: token masks for decoding them, and lists of all answers where there are few.

An argument object is written as canonical compact JSON, with its properties in the schema's order, and holds no
property that the schema does not name: an action's arguments are a legal action, so what is not listed is not legal.
"""

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar

import llguidance.hf
import numpy
import torch
from llguidance import LLMatcher, LLTokenizer
from transformers import PreTrainedTokenizerFast

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


class Grammar:
    """Makes masks for one model, from any thread.

    Reading the vocabulary takes a moment and is done once; a schema is compiled once, in about a millisecond, and a
    mask for it is a copy. `num_logits` is the width of the model's output, which is often more than its tokenizer has,
    and sometimes less: what the model cannot say is never allowed.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        *,
        num_logits: int,
        end_of_turn: int,
        device: torch.device | None = None,
        num_kept: int = 256,
    ) -> None:
        num_tokens = max(num_logits, len(tokenizer))
        self._tokenizer = llguidance.hf.from_tokenizer(tokenizer, n_vocab=num_tokens, eos_token=end_of_turn)
        self._num_logits = num_logits
        self._device = device or torch.device("cpu")
        self._num_kept = num_kept
        self._compiled: OrderedDict[str, LLMatcher] = OrderedDict()
        self._lock = threading.Lock()

    def arguments(self, schema: Schema) -> "SchemaMask":
        """Return a mask for one argument object. Raises BadSchema."""
        text = json.dumps(closed(schema), separators=(",", ":"))
        json.loads(text, parse_int=_exact)
        return self._mask(
            LLMatcher.grammar_from_json_schema(
                text, overrides={"whitespace_flexible": False, "item_separator": ",", "key_separator": ":"}
            )
        )

    def line(self) -> "SchemaMask":
        """Return a mask for free text that ends with the turn and holds no line break."""
        return self._mask(LLMatcher.grammar_from_regex(r"[^\r\n]+"))

    def _mask(self, grammar: str) -> "SchemaMask":
        with self._lock:
            matcher = self._compiled.get(grammar) or _compiled(self._tokenizer, grammar)
            self._compiled[grammar] = matcher
            self._compiled.move_to_end(grammar)
            if len(self._compiled) > self._num_kept:
                self._compiled.popitem(last=False)
            return SchemaMask(matcher.deep_copy(), self._num_logits, self._device)


class SchemaMask:
    """One answer under a grammar, as the engine's `TokenMask` asks for it."""

    def __init__(self, matcher: LLMatcher, num_logits: int, device: torch.device) -> None:
        self._matcher = matcher
        self._num_logits = num_logits
        self._device = device

    @property
    def finished(self) -> bool:
        """Return whether the answer is complete and nothing may follow it."""
        return bool(self._matcher.is_stopped())

    def forced(self) -> Sequence[int]:
        """Return the tokens that must come next, [] if there is a choice."""
        return [] if self.finished else list(self._matcher.compute_ff_tokens())

    def allowed(self) -> torch.Tensor:
        """Return which tokens may come next, bool [V]."""
        bits = numpy.frombuffer(self._matcher.compute_bitmask(), dtype=numpy.uint8)
        allowed_V = numpy.unpackbits(bits, count=self._num_logits, bitorder="little").astype(bool)
        return torch.from_numpy(allowed_V).to(self._device)

    def advance(self, token: int) -> None:
        """Take one token."""
        taken = self._matcher.consume_token(token)
        assert taken, f"token {token} was not allowed: {self._matcher.get_error()}"


def _exact(digits: str) -> int:
    """The grammar library reads numbers as float64 and would write another number than a larger one."""
    number = int(digits)
    if abs(number) > 2**53:
        raise BadSchema(f"{digits} is beyond 2^53, where JSON numbers are no longer exact")
    return number


def _compiled(tokenizer: LLTokenizer, grammar: str) -> LLMatcher:
    if why := LLMatcher.validate_grammar(grammar, tokenizer):
        raise BadSchema(why.splitlines()[-1].strip().rstrip("."))
    matcher = LLMatcher(tokenizer, grammar, log_level=0)
    if matcher.is_error():
        raise BadSchema(matcher.get_error().splitlines()[0].rstrip("."))
    return matcher


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
