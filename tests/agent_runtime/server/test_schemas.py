"""What really goes over the wire fits the JSON Schemas that `hotseat protocol` prints; so says another library."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from agent_runtime.replay.recording_format import read_recording
from agent_runtime.server.errors import BadCombination, MessageError
from agent_runtime.server.messages import client_message, message_schemas, protocol_schema, read_json
from tests import readme
from tests.agent_runtime.first_look.worlds import record_match
from tests.agent_runtime.server.test_transcript import lines_of_transcript
from tests.agent_runtime.worlds import load_tiny

Validators = Mapping[str, Draft202012Validator]


@pytest.fixture(scope="module")
def validators() -> Validators:
    """By sender and type, as files that stand alone."""
    made = {}
    for kind, schema in message_schemas().items():
        Draft202012Validator.check_schema(schema)
        made[f"{schema['x-sender']} {kind}"] = Draft202012Validator(json.loads(json.dumps(schema)))
    return made


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, dict[str, Any]]]:
    """A match as a real server recorded it: who spoke, and what."""
    folder = tmp_path_factory.mktemp("exchange")
    recording = read_recording(record_match(folder, load_tiny(folder)))
    return [
        ("client" if line.dir == "c2s" else "server", json.loads(line.payload))
        for _, line in recording.lines
        if line.dir != "int"
    ]


def sayings() -> Iterator[tuple[str, dict[str, Any]]]:
    """The transcript with every message type, and the exchange in the README."""
    for line in lines_of_transcript():
        if "out" in line:
            yield "server", json.loads(line["out"])
        elif "in" in line:
            try:
                client_message(message := read_json(line["in"]))
            except MessageError:
                continue
            yield "client", message
    for said in readme.exchange():
        yield "client" if said.by_client else "server", said.message


def test_a_recorded_exchange_fits_the_schemas(
    exchange: list[tuple[str, dict[str, Any]]], validators: Validators
) -> None:
    for sender, message in exchange:
        validators[f"{sender} {message['type']}"].validate(message)
    kinds = {message["type"] for _, message in exchange}
    assert {"match.open", "match.state", "session.open", "turn", "turn.result", "turn.applied", "error"} <= kinds


def test_every_message_type_fits_its_schema(validators: Validators) -> None:
    seen = set()
    for sender, message in sayings():
        validators[f"{sender} {message['type']}"].validate(message)
        seen.add(message["type"])
    assert seen == set(message_schemas())


def test_the_schema_of_all_tells_the_sides_and_the_types_apart() -> None:
    whole = protocol_schema()
    Draft202012Validator.check_schema(whole)
    sides = {
        side: Draft202012Validator({**whole, "oneOf": [{"$ref": f"#/$defs/from_{side}"}]})
        for side in ("client", "server")
    }
    for sender, message in sayings():
        assert sides[sender].is_valid(message)
        assert not sides["server" if sender == "client" else "client"].is_valid(message)


@pytest.mark.parametrize(
    "message",
    [
        {"type": "turn", "session": "s", "turn_id": 1, "frame": 1, "observation": ""},
        {"type": "turn", "session": "s", "turn_id": -1, "frame": 1, "observation": "", "actions": []},
        {"type": "turn", "session": "s", "turn_id": 1, "frame": 1, "observation": "", "actions": [{"name": "a"}]},
        {"type": "match.open", "match": "../etc", "game": "duel"},
        {"type": "match.open", "match": "m", "game": "duel", "mode": "fast"},
        {"type": "match.state", "match": "m", "frame": 1, "state": 3},
        {"type": "session.open", "session": "s", "match": "m", "colour": "red"},
        {"type": "flush", "match": "m", "timeout_ms": 0},
        {"type": "block.put", "session": "s", "name": "a\nb"},
    ],
)
def test_what_the_server_refuses_the_schema_refuses_too(message: dict[str, Any], validators: Validators) -> None:
    with pytest.raises(MessageError) as refused:
        client_message(message)
    assert not isinstance(refused.value, BadCombination)
    assert not validators[f"client {message['type']}"].is_valid(message)


def test_each_schema_stands_alone(tmp_path: Path) -> None:
    for schema in message_schemas().values():
        text = json.dumps(schema)
        assert all(f'"#/$defs/{name}"' in text for name in schema["$defs"])
        assert schema["description"] and schema["required"][0] == "type"
