"""What the protocol machine refuses: the sentence says what to do, and nothing changes."""

import json
from typing import Any

import pytest

from agent_runtime.server.config import Limits
from tests.agent_runtime.server.desk import Desk, turn
from tests.agent_runtime.server.saying import code_of, only


@pytest.mark.parametrize(
    "text, code, words",
    [
        ("{", "malformed_message", "one JSON object"),
        ("", "malformed_message", "one JSON object"),
        ("[1]", "malformed_message", "array"),
        ('{"type":"flush","match":"m1"} {}', "malformed_message", "trailing"),
        ('{"type":"match.state","match":"m1","frame":2,"state":{"a":NaN}}', "malformed_message", "one JSON object"),
        ('{"type":"match.state","match":"m1","frame":2,"state":{"a":[1e999]}}', "malformed_message", "double"),
        (
            '{"type":"match.state","match":"m1","frame":2,"state":' + "[" * 400 + "]" * 400 + "}",
            "malformed_message",
            "",
        ),
        ('{"type":"match.state","match":"m1","frame":2,"state":{"a":"\\ud800"}}', "malformed_message", ""),
        ("{}", "bad_field", "'type'"),
        ('{"type":7}', "bad_field", "'type'"),
        ('{"type":"sesion.open"}', "unknown_type", "'session.open'"),
        ('{"type":"welcome"}', "unknown_type", "nearest"),
        ('{"type":"match.state","match":"m1","frame":2,"stat":{}}', "unknown_field", "'state'"),
        ('{"type":"match.state","match":"m1","frame":2}', "bad_field", "'state'"),
        ('{"type":"match.state","match":"m1","frame":2,"state":{},"patch":[]}', "bad_field", "'patch'"),
        ('{"type":"match.state","match":"m1","frame":2,"state":"x"}', "bad_field", "object"),
        ('{"type":"match.state","match":"m1","frame":2,"patch":{}}', "bad_field", "array"),
        ('{"type":"match.state","match":"m1","frame":"2","state":{}}', "bad_field", "'frame'"),
        ('{"type":"match.state","match":"m1","frame":-1,"state":{}}', "bad_field", "'frame'"),
        ('{"type":"match.state","match":"m1","frame":1.5,"state":{}}', "bad_field", "integer"),
        ('{"type":"match.state","match":"m1","frame":1,"state":{}}', "stale_frame", "frame 1"),
        ('{"type":"match.state","match":"m3","frame":1,"state":{}}', "not_open", "match.open"),
        ('{"type":"match.open","match":"../etc","game":"camp"}', "bad_field", "'match'"),
        ('{"type":"match.open","match":"a/b","game":"camp"}', "bad_field", "'match'"),
        ('{"type":"match.open","match":"","game":"camp"}', "bad_field", "'match'"),
        ('{"type":"match.open","match":"m2","game":"camp","mode":"fast"}', "bad_field", "'star'"),
        ('{"type":"match.open","match":"m2"}', "bad_field", "'game'"),
        ('{"type":"session.open","session":"s","match":"m1","sight":"/a"}', "bad_field", "array"),
        ('{"type":"session.open","session":"s","match":"m1","on_deadline":"never"}', "bad_field", "'timeout'"),
        (
            '{"type":"session.open","session":"s","match":"m1","persona":"a","persona_text":"b"}',
            "bad_field",
            "not both",
        ),
        ('{"type":"turn.applied","session":"guard-7","turn_id":1,"ok":"yes"}', "bad_field", "true or false"),
        ('{"type":"turn.applied","session":"guard-8","turn_id":1,"ok":true}', "not_open", "'guard-7'"),
        ('{"type":"block.put","session":"guard-7","name":"a\\nb","text":"x"}', "bad_field", "'name'"),
    ],
)
def test_a_bad_message_is_answered_with_what_to_do_and_changes_nothing(text: str, code: str, words: str) -> None:
    desk = Desk()
    desk.open()
    error = only(desk.say(text))
    assert (error["type"], error["code"]) == ("error", code)
    assert words in error["message"]
    assert desk.closed is None
    assert desk.say(turn()) == [] and only(desk.decide("guard-7", 1, 0.0))["outcome"] == "ok"


@pytest.mark.parametrize(
    "change, code, words",
    [
        ({"actions": []}, "bad_actions", "at least one"),
        ({"actions": [{"id": ""}]}, "bad_actions", "empty"),
        ({"actions": [{"id": " \n"}]}, "bad_actions", "empty"),
        ({"actions": [{"id": "a"}, {"id": "b"}, {"id": "a"}]}, "bad_actions", "Actions 0 and 2"),
        ({"actions": [{"id": "a", "text": "x" * 5000}]}, "bad_actions", "limit is 2000"),
        ({"actions": [{"id": f"a{n}"} for n in range(1025)]}, "bad_actions", "1025"),
        ({"actions": {"id": "a"}}, "bad_field", "array"),
        ({"actions": ["a"]}, "bad_field", "'actions.0'"),
        ({"actions": [{"id": "a", "schema": "x"}]}, "bad_field", "'actions.0.schema'"),
        ({"actions": [{"id": "a", "scheme": {}}]}, "unknown_field", "'schema'"),
        ({"actions": [{"name": "a"}]}, "unknown_field", "nearest"),
        ({"decide": {"how": "guess"}}, "bad_field", "'decide.how'"),
        ({"decide": {"temprature": 1}}, "unknown_field", "'temperature'"),
        ({"decide": {"temperature": 0}}, "bad_field", "greater than 0"),
        ({"decide": {"seed": -1}}, "bad_field", "'decide.seed'"),
        ({"decide": {"think_tokens": -1}}, "bad_field", "'decide.think_tokens'"),
        ({"turn_id": "1"}, "bad_field", "integer"),
        ({"turn_id": True}, "bad_field", "integer"),
        ({"turn_id": 2**53}, "bad_field", "'turn_id'"),
        ({"turn_id": -1}, "bad_field", "'turn_id'"),
        ({"deadline_ms": 0}, "bad_field", "'deadline_ms'"),
        ({"deadline_ms": "500"}, "bad_field", "number"),
        ({"observation": None}, "bad_field", "string"),
        ({"session": "guard-9"}, "not_open", "'guard-7'"),
    ],
)
def test_a_bad_turn_is_refused_before_the_runtime_sees_it(change: dict[str, Any], code: str, words: str) -> None:
    desk = Desk()
    desk.open()
    error = only(desk.say({**turn(), "id": 5, **change}))
    assert (error["type"], error["code"], error["reply_to"]) == ("error", code, 5)
    assert words in error["message"]
    assert desk.begun == {}


def test_an_error_names_the_turn_even_without_an_id() -> None:
    desk = Desk()
    desk.open()
    error = only(desk.say(turn(3, actions=[])))
    assert (error["session"], error["turn_id"]) == ("guard-7", 3)


def test_an_oversize_message_is_refused_unread_and_the_connection_lives() -> None:
    desk = Desk(limits=Limits(message_bytes=200))
    message = {"type": "match.open", "match": "m1", "game": "é" * 120}
    error = only(desk.say(json.dumps(message, ensure_ascii=False)))
    assert error["code"] == "message_too_big" and "limit is 200" in error["message"] and desk.closed is None
    assert only(desk.say({"type": "match.open", "match": "m1", "game": "camp"}))["type"] == "match.opened"


def test_a_message_is_measured_in_bytes() -> None:
    text = '{"type":"match.open","match":"m1","game":"camp"}'
    assert only(Desk(limits=Limits(message_bytes=len(text))).say(text))["type"] == "match.opened"
    assert code_of(Desk(limits=Limits(message_bytes=len(text) - 1)).say(text)) == "message_too_big"


def test_matches_and_sessions_of_a_connection_are_limited() -> None:
    desk = Desk(limits=Limits(matches=1, sessions=2))
    desk.open("a")
    assert code_of(desk.say({"type": "match.open", "match": "m2", "game": "camp"})) == "too_many"
    assert only(desk.say({"type": "match.open", "match": "m1", "game": "camp"}))["type"] == "match.opened"
    desk.say({"type": "session.open", "session": "b", "match": "m1"})
    assert code_of(desk.say({"type": "session.open", "session": "c", "match": "m1"})) == "too_many"
    desk.say({"type": "session.close", "session": "b"})
    assert len(desk.say({"type": "session.open", "session": "c", "match": "m1"})) == 2
