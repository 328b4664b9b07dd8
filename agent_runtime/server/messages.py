"""Text in, message out, for both directions, and the JSON Schema of all of them."""

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any, Literal, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic.json_schema import models_json_schema
from pydantic_core import ErrorDetails, from_json

from agent_runtime.server.client_messages import CLIENT_MESSAGES, ClientMessage
from agent_runtime.server.errors import (
    BadCombination,
    BadField,
    MalformedMessage,
    MessageError,
    UnknownField,
    UnknownType,
)
from agent_runtime.server.server_messages import SERVER_MESSAGES, ServerMessage
from agent_runtime.turn import Json

PROTOCOL = "hotseat.v1"

# A number is larger than any double only with an exponent, or with more digits than this.
_DIGITS_OF_A_DOUBLE = 308
# The bytes that such numbers have, digits and `+` as `0`, and all others as a space.
_MARKS = bytes(0x30 if byte in b"0123456789+" else 0x65 if byte in b"eE" else 0x20 for byte in range(256))

# pydantic's own sentences speak of Python types.
_IN_JSON_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "missing": "it is missing",
        "dict_type": "it should be an object",
        "mapping_type": "it should be an object",
        "model_type": "it should be an object",
        "list_type": "it should be an array",
        "tuple_type": "it should be an array",
        "string_type": "it should be a string",
        "int_type": "it should be an integer",
        "float_type": "it should be a number",
        "bool_type": "it should be true or false",
    }
)


# What a text may be besides an object.
_KINDS: Mapping[type, str] = MappingProxyType(
    {list: "array", str: "string", int: "number", float: "number", bool: "boolean", type(None): "null"}
)


def read_json(text: str) -> dict[str, Json]:
    """The JSON object that the text is. Raises MalformedMessage, also for numbers that are not finite."""
    try:
        value = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise MalformedMessage(str(error)) from None
    if not isinstance(value, dict):
        raise MalformedMessage(f"it is a JSON {_KINDS[type(value)]}")
    if _may_be_infinite(text) and not _is_finite(value):  # 1e400 is valid JSON and becomes infinite
        raise MalformedMessage("it has a number that no double can hold")
    return value


def client_message(value: dict[str, Json]) -> ClientMessage:
    """The client's message that a JSON object is. Raises UnknownType, UnknownField, BadField or BadCombination."""
    kind = value.get("type")
    if not isinstance(kind, str):
        raise BadField("message", "type", "it is missing" if kind is None else "it should be a string")
    if kind not in _client_types():
        raise UnknownType(kind[:80], nearest(kind, _client_types()))
    try:
        return _client_types()[kind].model_validate(value)
    except ValidationError as error:
        raise _explain(_client_types()[kind], error.errors(include_url=False, include_input=False)) from None


def server_message(text: str) -> ServerMessage | None:
    """The server's message that a text is, or None for a type that this client does not know.

    Raises MalformedMessage, or BadField when a known type lacks what this client needs.
    """
    value = read_json(text)
    model = _server_types().get(str(value.get("type")))
    if model is None:
        return None
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise _explain(model, error.errors(include_url=False, include_input=False)) from None


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that looks most like `name`."""
    return difflib.get_close_matches(name[:200], list(known), n=1, cutoff=0.0)[0]


def protocol_schema() -> dict[str, Json]:
    """One JSON Schema (2020-12) of every message: `$defs`, and which of them a client and a server may send."""
    # Validation, for the server's too: what has a default may be absent, because null is left out on the wire.
    every: list[tuple[type[BaseModel], Literal["validation"]]] = [
        (model, "validation") for model in (*CLIENT_MESSAGES, *SERVER_MESSAGES)
    ]
    places, schema = models_json_schema(every, by_alias=True, ref_template="#/$defs/{model}")
    for model, _ in every:
        definition = schema["$defs"][model.__name__]
        definition["required"] = ["type", *definition.get("required", [])]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": PROTOCOL,
        "title": f"Messages of {PROTOCOL}",
        "oneOf": [{"$ref": "#/$defs/from_client"}, {"$ref": "#/$defs/from_server"}],
        "$defs": {
            "from_client": {"oneOf": [places[model, "validation"] for model in CLIENT_MESSAGES]},
            "from_server": {"oneOf": [places[model, "validation"] for model in SERVER_MESSAGES]},
            **schema["$defs"],
        },
    }


def message_schemas() -> dict[str, dict[str, Json]]:
    """The JSON Schema of each message by its type, complete in itself; `x-sender` is `client` or `server`."""
    definitions = protocol_schema()["$defs"]
    schemas = {}
    for sender, models in (("client", _client_types()), ("server", _server_types())):
        for kind, model in models.items():
            own = definitions[model.__name__]
            schemas[kind] = {
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "$id": f"{PROTOCOL}/{kind}",
                "x-sender": sender,
                **own,
                "$defs": {name: definitions[name] for name in sorted(_used(own, definitions))},
            }
    return schemas


def _used(schema: Json, definitions: Mapping[str, Json]) -> set[str]:
    """The names of all definitions that a schema refers to, directly or through others."""
    used: set[str] = set()
    waiting: list[Json] = [schema]
    while waiting:
        each = waiting.pop()
        if isinstance(each, list):
            waiting += each
        elif isinstance(each, dict):
            waiting += each.values()
            name = str(each.get("$ref", "")).removeprefix("#/$defs/")
            if name in definitions and name not in used:
                used.add(name)
                waiting.append(definitions[name])
    return used


@cache
def _client_types() -> dict[str, type[ClientMessage]]:
    return {model.model_fields["type"].default: model for model in CLIENT_MESSAGES}


@cache
def _server_types() -> dict[str, type[ServerMessage]]:
    return {model.model_fields["type"].default: model for model in SERVER_MESSAGES}


def _may_be_infinite(text: str) -> bool:
    """Whether something in a text looks like too large a number. Most texts have nothing, which is seen at once."""
    marks = text.encode(errors="replace").translate(_MARKS)
    return b"0e0" in marks or b"0" * (_DIGITS_OF_A_DOUBLE + 1) in marks


def _is_finite(value: Json) -> bool:
    """Walks without recursion: the parser allows 200 levels, and states have thousands of leaves."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if type(each) is dict:
            waiting.extend(each.values())
        elif type(each) is list:
            waiting.extend(each)
        elif type(each) is float and not math.isfinite(each):
            return False
    return True


def _explain(model: type[BaseModel], details: list[ErrorDetails]) -> MessageError:
    """The one error that helps most: a misspelt field also goes missing, so unknown ones are named first."""
    kind = str(model.model_fields["type"].default)
    unknown = next((detail for detail in details if detail["type"] == "extra_forbidden"), None)
    if unknown is not None:
        *path, name = unknown["loc"]
        known = _wire_names(_model_at(model, path))
        inside = "".join(f".{step}" for step in path)
        return UnknownField(kind + inside, str(name)[:80], nearest(str(name), known))
    detail = details[0]
    path = _path_on_the_wire(model, detail["loc"])
    why = _IN_JSON_WORDS.get(detail["type"], detail["msg"].removeprefix("Value error, "))
    why = why[:1].lower() + why[1:]
    # Without a path it is one of the message's own validators that speaks, and it names the fields.
    return BadField(kind, ".".join(map(str, path)), why) if path else BadCombination(kind, why)


def _path_on_the_wire(model: type[BaseModel], path: tuple[int | str, ...]) -> list[int | str]:
    """`path` up to where pydantic goes on with the names of a union's branches, which no client knows."""
    steps: list[int | str] = []
    for step in path:
        if isinstance(step, str) and step not in _wire_names(_model_at(model, steps)):
            break
        steps.append(step)
    return steps


def _model_at(model: type[BaseModel], path: Sequence[int | str]) -> type[BaseModel]:
    """The model that holds the field at `path`: lists are passed through, optional ones unwrapped."""
    for step in path:
        if isinstance(step, str):
            model = _model_within(_wire_names(model)[step].annotation) or model
    return model


def _wire_names(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _model_within(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, (_model_within(each) for each in get_args(annotation))), None)
