"""Text to messages and back, and the schema of all of them."""

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from agent_runtime.server import client_messages as c2s
from agent_runtime.server import server_messages as s2c
from agent_runtime.server.answers import error_message, result_message
from agent_runtime.server.client_messages import CLIENT_MESSAGES
from agent_runtime.server.errors import (
    BadCombination,
    BadField,
    MalformedMessage,
    MessageError,
    UnknownField,
    UnknownType,
)
from agent_runtime.server.messages import client_message, nearest, protocol_schema, read_json, server_message
from agent_runtime.server.server_messages import SERVER_MESSAGES
from agent_runtime.turn import ActionOption, BlockUse, Decide, MatchSpec, Mode, Outcome, TurnRequest, body_digest
from tests.agent_runtime.server.fake_runtime import ACCOUNT, decided

ISSUE_TURN = """{"type":"turn","session":"guard-7","turn_id":12,"frame":41,"observation":"A noise in the east.",
 "actions":[{"id":"hold","text":"stay here"},{"id":"go","text":"go to","schema":{"type":"object",
             "properties":{"to":{"enum":["gate","mill"]}},"required":["to"]}}],
 "decide":{"how":"sample","temperature":0.7,"seed":5,"think_tokens":0,"say_tokens":0},"deadline_ms":500}"""

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def test_the_turn_of_the_protocols_description_is_the_runtimes_request() -> None:
    message = client_message(read_json(ISSUE_TURN))
    assert isinstance(message, c2s.Turn) and message.deadline_ms == 500
    schema = {"type": "object", "properties": {"to": {"enum": ["gate", "mill"]}}, "required": ["to"]}
    assert message.request() == TurnRequest(
        session="guard-7",
        turn_id=12,
        frame=41,
        observation="A noise in the east.",
        actions=(ActionOption("hold", "stay here"), ActionOption("go", "go to", schema)),
        decide=Decide("sample", 0.7, 5),
    )


def test_applied_and_opened_are_the_runtimes_types() -> None:
    text = '{"type":"turn.applied","session":"guard-7","turn_id":12,"ok":true,"message":null,"reward":0.5}'
    message = client_message(read_json(text))
    assert isinstance(message, c2s.TurnApplied)
    assert (message.applied().ok, message.applied().message, message.applied().reward) == (True, None, 0.5)
    opening = client_message(read_json('{"type":"match.open","match":"m","game":"camp","mode":"star"}'))
    assert isinstance(opening, c2s.MatchOpen) and opening.spec() == MatchSpec("m", "camp", None, Mode.STAR)
    salted = client_message(read_json('{"type":"match.open","match":"m","game":"camp","cache_salt":"a tenant\'s"}'))
    assert isinstance(salted, c2s.MatchOpen) and salted.spec().cache_salt == "a tenant's"
    assert "tenant" not in repr(salted), "who knows a salt can look for what it hides"


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(), JSON_VALUES, max_size=5))
def test_a_state_arrives_as_it_was_sent(state: dict[str, Any]) -> None:
    text = json.dumps({"type": "match.state", "match": "m", "frame": 1, "state": state})
    message = client_message(read_json(text))
    assert isinstance(message, c2s.MatchState)
    assert repr(message.state) == repr(state)  # repr: 1 is not 1.0, and -0.0 not 0.0
    again = client_message(read_json(message.encode()))
    assert repr(again) == repr(message)


@settings(max_examples=60, deadline=None)
@given(JSON_VALUES)
def test_any_json_is_a_message_or_a_typed_refusal(value: Any) -> None:
    try:
        client_message(read_json(json.dumps(value)))
    except MessageError as error:
        assert str(error) and error.code


@settings(max_examples=60, deadline=None)
@given(st.text())
def test_any_text_is_a_message_or_a_typed_refusal(text: str) -> None:
    try:
        client_message(read_json(text))
    except MessageError as error:
        assert str(error)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([model.model_fields["type"].default for model in CLIENT_MESSAGES]), st.data())
def test_whatever_stands_in_a_known_messages_fields_is_taken_or_refused_with_a_sentence(
    kind: str, data: st.DataObject
) -> None:
    model = next(each for each in CLIENT_MESSAGES if each.model_fields["type"].default == kind)
    names = [field.alias or name for name, field in model.model_fields.items() if name != "type"]
    fields = data.draw(st.dictionaries(st.sampled_from([*names, "odd"]), JSON_VALUES))
    try:
        client_message({"type": kind, **fields})
    except MessageError as error:
        assert kind in str(error)


def test_errors_name_the_nearest_type_and_field() -> None:
    with pytest.raises(UnknownType, match="'session.open'"):
        client_message({"type": "session.opn"})
    with pytest.raises(UnknownField, match=r"'turn.actions.1' has no field 'scheme'.*'schema'"):
        client_message({**json.loads(ISSUE_TURN), "actions": [{"id": "a"}, {"id": "b", "scheme": {}}]})
    assert nearest("x" * 100_000, ["flush", "turn"]) in ("flush", "turn")


def test_what_is_unknown_is_named_before_what_is_missing() -> None:
    with pytest.raises(UnknownField, match="'frame'"):
        client_message({"type": "match.state", "match": "m", "fram": 1, "state": {}})


def test_errors_speak_of_json_and_not_of_python() -> None:
    for field, value, words in [
        ("frame", "1", "an integer"),
        ("state", 5, "an object"),
        ("patch", {}, "an array"),
        ("match", 5, "a string"),
    ]:
        with pytest.raises(BadField) as bad:
            client_message({"type": "match.state", "match": "m", "frame": 1, "state": {}, field: value})
        assert bad.value.field == field and words in str(bad.value)


@pytest.mark.parametrize(
    "fields, words",
    [
        ({}, "'match.state' has neither 'state' nor 'patch': give exactly one of them"),
        ({"state": None}, "'match.state' has neither 'state' nor 'patch': give exactly one of them"),
        ({"state": {}, "patch": []}, "'match.state' has both 'state' and 'patch': give exactly one of them"),
        ({"state": {}, "base": 1}, "'match.state' has a 'base' and no 'patch'"),
    ],
)
def test_a_state_that_is_not_one_of_state_and_patch_is_refused_by_their_names(
    fields: dict[str, Any], words: str
) -> None:
    with pytest.raises(BadCombination) as bad:
        client_message({"type": "match.state", "match": "m", "frame": 2, **fields})
    assert str(bad.value).startswith(words) and bad.value.code == "bad_field"


def test_two_personas_are_refused_by_their_names() -> None:
    with pytest.raises(BadCombination, match="^'session.open' has both 'persona' .* and 'persona_text'"):
        client_message({"type": "session.open", "session": "s", "match": "m", "persona": "a", "persona_text": "b"})


@pytest.mark.parametrize("text", ["", "{", "null", "[]", '"x"', "5", '{"a":NaN}', '{"a":-Infinity}', '{"a":1e999}'])
def test_what_is_no_finite_json_object_is_malformed(text: str) -> None:
    with pytest.raises(MalformedMessage):
        read_json(text)


_NUMBERS = st.from_regex(
    r"-?(0|[1-9][0-9]{0,5}|[1-9][0-9]{300,320})(\.[0-9]{1,4})?([eE][+-]?[0-9]{1,4})?", fullmatch=True
)


@settings(max_examples=300)
@given(st.lists(_NUMBERS, max_size=3), st.text("0123456789eE+-. a", max_size=9))
def test_a_number_too_large_for_a_double_is_found_however_it_is_written(numbers: list[str], text: str) -> None:
    message = f'{{"{text}": [{", ".join(numbers)}], "b": "{text}"}}'
    if math.inf not in map(abs, json.loads(message)[text]):
        assert read_json(message) == json.loads(message)
    else:
        with pytest.raises(MalformedMessage, match="no double can hold"):
            read_json(message)


def test_messages_are_frozen() -> None:
    message = c2s.Flush(match="m")
    with pytest.raises(ValidationError):
        message.match = "n"  # type: ignore[misc]


def test_a_client_ignores_types_and_fields_that_it_does_not_know() -> None:
    assert server_message('{"type":"weather","wind":3}') is None
    message = server_message('{"type":"match.closed","match":"m","reason":"over","reply_to":"q1"}')
    assert message == s2c.MatchClosed(match="m", reply_to="q1")


def test_a_client_reads_an_account_with_fields_of_a_newer_server() -> None:
    result = decided(TurnRequest("s", 1, 1, "", (ActionOption("hold"),)))
    text = result_message(result, 7).encode().replace('"forwards":', '"kernels":3,"forwards":')
    message = server_message(text)
    assert isinstance(message, s2c.TurnResult) and message.account == ACCOUNT


def test_null_is_left_out_except_within_arguments() -> None:
    result = decided(TurnRequest("s", 1, 1, "", (ActionOption("hold"),)))
    assert "null" not in result_message(result, None).encode()
    closed = s2c.TurnResult(session="s", turn_id=1, outcome=Outcome.OK, action={"id": "a", "args": {"to": None}})  # type: ignore[arg-type]
    assert '"args":{"to":null}' in closed.encode()


def test_an_error_repeats_names_and_nothing_else() -> None:
    refused = {"id": [1], "match": {"a": 1}, "session": "x" * 500, "turn_id": True}
    message = error_message(MalformedMessage("x"), refused)
    assert (message.reply_to, message.match, message.session, message.turn_id) == (None, None, None, None)


def test_the_body_digest_sees_every_part_of_the_question() -> None:
    base = TurnRequest("s", 1, 1, "x", (ActionOption("a", "b", {"type": "object"}),), Decide("best", 1.0, None, 0, 0))
    changed = [
        TurnRequest("t", 1, 1, "x", base.actions),
        TurnRequest("s", 2, 1, "x", base.actions),
        TurnRequest("s", 1, 2, "x", base.actions),
        TurnRequest("s", 1, 1, "y", base.actions),
        TurnRequest("s", 1, 1, "x", (ActionOption("a", "b"),)),
        TurnRequest("s", 1, 1, "x", (ActionOption("ab", "", {"type": "object"}),)),
        TurnRequest("s", 1, 1, "x", base.actions, Decide("sample")),
        TurnRequest("s", 1, 1, "x", base.actions, Decide("best", 0.5)),
        TurnRequest("s", 1, 1, "x", base.actions, Decide(seed=1)),
        TurnRequest("s", 1, 1, "x", base.actions, Decide(think_tokens=1)),
        TurnRequest("s", 1, 1, "x", base.actions, Decide(say_tokens=1)),
    ]
    digests = {body_digest(each) for each in [base, *changed]}
    assert len(digests) == 1 + len(changed)
    assert body_digest(TurnRequest("s", 1, 1, "x", base.actions)) == body_digest(base)


# The schema.


def test_the_schema_has_every_message_and_the_shapes_of_the_wire() -> None:
    schema = protocol_schema()
    json.dumps(schema)
    definitions = schema["$defs"]
    for side, models in (("from_client", CLIENT_MESSAGES), ("from_server", SERVER_MESSAGES)):
        assert definitions[side]["oneOf"] == [{"$ref": f"#/$defs/{model.__name__}"} for model in models]
    turn = definitions["Turn"]
    assert turn["additionalProperties"] is False
    assert set(turn["properties"]) == {
        "type", "id", "session", "turn_id", "frame", "observation", "actions", "decide", "deadline_ms",
    }  # fmt: skip
    assert set(turn["required"]) == {"type", "session", "turn_id", "frame", "observation", "actions"}
    assert set(definitions["ListedAction"]["properties"]) == {"id", "text", "schema"}
    assert set(definitions["HowToDecide"]["properties"]) == {"how", "temperature", "seed", "think_tokens", "say_tokens"}
    assert "additionalProperties" not in definitions["TurnResult"]
    assert definitions["Outcome"]["enum"] == ["ok", "truncated", "timeout", "cancelled", "overloaded", "error"]


def test_every_reference_in_the_schema_leads_somewhere() -> None:
    schema = protocol_schema()

    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return own + [each for inner in value.values() for each in references(inner)]
        return [each for inner in value for each in references(inner)] if isinstance(value, list) else []

    assert {each.removeprefix("#/$defs/") for each in references(schema)} <= set(schema["$defs"])


def test_types_are_named_once() -> None:
    types = [model.model_fields["type"].default for model in (*CLIENT_MESSAGES, *SERVER_MESSAGES)]
    assert len(types) == len(set(types)) == 24


def test_what_changed_in_a_turn_is_in_its_account_on_the_wire() -> None:
    use = BlockUse("unit/ogre", "encoded", 40, "text changed")
    text = s2c.TurnResult(session="s", turn_id=1, outcome=Outcome.OK, account=ACCOUNT).encode()
    assert '"changed":[]' in text and use.name not in text
