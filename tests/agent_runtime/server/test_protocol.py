"""The protocol machine alone: no sockets, no threads, and time is a number. How what a connection opens begins."""

from typing import Any

import pytest

from agent_runtime.server.config import Limits
from tests.agent_runtime.server.desk import HELLO, Desk, turn
from tests.agent_runtime.server.saying import code_of, only

# Hello.


def test_hello_is_answered_by_welcome_with_limits_models_and_games() -> None:
    desk = Desk(greeted=False)
    answer = only(desk.say('{"type":"hello","protocol":"hotseat.v1","id":"a"}'))
    assert answer["type"] == "welcome" and answer["protocol"] == "hotseat.v1" and answer["reply_to"] == "a"
    assert answer["limits"]["actions"] == Limits().actions
    assert answer["models"] == [{"name": "tiny", "block_tuned": False}, {"name": "tuned", "block_tuned": True}]
    assert answer["games"] == [{"name": "camp", "title": "Camp", "personas": ["guard", "smith"]}]


@pytest.mark.parametrize(
    "first, code",
    [
        ('{"type":"turn"}', "bad_field"),
        ('{"type":"flush","match":"m"}', "hello_expected"),
        ('{"type":"hello","protocol":"hotseat.v9"}', "unsupported_protocol"),
        ('{"type":"hello","protocol":"hotseat.v1","tokn":"x"}', "unknown_field"),
        ('{"type":"hello"}', "bad_field"),
        ("hello", "malformed_message"),
    ],
)
def test_a_connection_that_does_not_begin_with_a_valid_hello_ends(first: str, code: str) -> None:
    desk = Desk(greeted=False)
    assert code_of(desk.say(first)) == code
    assert desk.closed is not None and (desk.closed.code, desk.closed.reason) == (1008, code)
    assert desk.machine.is_closed and desk.say(HELLO) == []


def test_a_hello_that_does_not_come_in_time_ends_the_connection() -> None:
    desk = Desk(greeted=False)
    assert desk.machine.next_deadline == 10.0
    assert desk.tick(9.9) == [] and desk.closed is None
    assert code_of(desk.tick(10.0)) == "hello_expected"
    assert desk.closed is not None and desk.closed.code == 1008


def test_a_second_hello_is_refused_and_the_connection_lives() -> None:
    desk = Desk()
    assert code_of(desk.say(HELLO)) == "bad_field"
    assert desk.closed is None


@pytest.mark.parametrize("shown", ["", ',"token":"wrong-token"', ',"token":null'])
def test_without_the_token_the_connection_ends(shown: str) -> None:
    desk = Desk(token="open-sesame", greeted=False)
    assert code_of(desk.say(HELLO[:-1] + shown + "}")) == "unauthorised"
    assert desk.closed is not None and desk.closed.code == 1008


def test_a_token_in_hello_opens_and_is_in_no_recording() -> None:
    desk = Desk(token="open-sesame", greeted=False)
    assert only(desk.say(HELLO[:-1] + ',"token":"open-sesame"}'))["type"] == "welcome"
    desk.say(HELLO[:-1] + ',"token":"open-sesame"}')
    desk.say(HELLO[:-1] + ',"token":"open-sesame","x":1}')
    assert [(each.kind, each.text) for each in desk.heard] == [("hello", ""), ("hello", ""), ("malformed", "")]


def test_a_state_that_speaks_of_tokens_is_recorded_as_received() -> None:
    desk = Desk()
    desk.open()
    text = '{"type":"match.state",  "match":"m1","frame":2,"state":{"token":"dark side"}}'
    desk.say(text)
    assert (desk.heard[-1].text, desk.heard[-1].match) == (text, "m1")


def test_a_binary_frame_ends_the_connection() -> None:
    desk = Desk()
    assert code_of(desk.take(desk.machine.receive_binary(), 0.0)) == "binary_refused"
    assert desk.closed is not None and desk.closed.code == 1003


# Answers.


def test_every_answer_carries_the_id_of_its_message() -> None:
    desk = Desk()
    said: list[dict[str, Any]] = [
        {"type": "match.open", "match": "m1", "game": "camp"},
        {"type": "match.state", "match": "m1", "frame": 1, "state": {"clock": 1}},
        {"type": "session.open", "session": "guard-7", "match": "m1"},
        {"type": "block.put", "session": "guard-7", "name": "sheet", "text": "A guard."},
        {"type": "turn.applied", "session": "guard-7", "turn_id": 1, "ok": True},
        {"type": "turn.cancel", "session": "guard-7", "turn_id": 1},
        {"type": "flush", "match": "m1"},
        {"type": "session.close", "session": "guard-7"},
        {"type": "match.close", "match": "m1"},
        {"type": "match.close", "match": "m1"},
    ]
    answers = [desk.say({**message, "id": number}) for number, message in enumerate(said)]
    assert [[each["type"] for each in group] for group in answers] == [
        ["match.opened"],
        ["match.applied"],
        ["session.opened", "session.ready"],
        ["block.ready"],
        ["turn.noted"],
        ["turn.noted"],
        ["flushed"],
        ["session.closed"],
        ["match.closed"],
        ["error"],
    ]
    assert all(each["reply_to"] == number for number, group in enumerate(answers) for each in group)


def test_without_an_id_there_is_no_reply_to() -> None:
    assert "reply_to" not in only(Desk().say({"type": "match.open", "match": "m1", "game": "camp"}))


def test_a_session_opened_twice_is_resumed() -> None:
    desk = Desk()
    desk.open()
    opened, _ready = desk.say({"type": "session.open", "session": "guard-7", "match": "m1"})
    assert opened["resumed"] is True


def test_session_ready_never_comes_before_session_opened() -> None:
    desk = Desk()
    desk.open()  # the fake runtime calls `ready` before it returns, and `open` checks the order


def test_what_a_failed_opening_named_is_not_open() -> None:
    desk = Desk()
    refused = only(desk.say({"type": "match.open", "match": "m1", "game": "cmp"}))
    assert refused["code"] == "unknown_name" and "'camp'" in refused["message"] and refused["match"] == "m1"
    assert code_of(desk.say({"type": "flush", "match": "m1"})) == "not_open"
    assert code_of(desk.say({"type": "session.open", "session": "s", "match": "m1"})) == "unknown_name"
    assert code_of(desk.say(turn(session="s"))) == "not_open"


def test_a_failed_opening_undoes_only_itself() -> None:
    desk = Desk()
    desk.is_answering = False
    desk.say({"type": "match.open", "match": "m1", "game": "wrong"})
    desk.say({"type": "match.open", "match": "m1", "game": "camp"})
    assert [each["type"] for each in desk.answer_waiting()] == ["error", "match.opened"]
    assert only(desk.say({"type": "match.state", "match": "m1", "frame": 1, "state": {}}))["type"] == "match.applied"


def test_messages_right_behind_an_opening_find_it_open() -> None:
    desk = Desk()
    desk.is_answering = False
    assert desk.say({"type": "match.open", "match": "m1", "game": "camp"}) == []
    assert desk.say({"type": "match.state", "match": "m1", "frame": 1, "state": {}}) == []
    assert desk.say({"type": "session.open", "session": "s", "match": "m1"}) == []
    assert desk.say(turn(session="s")) == []
    types = [each["type"] for each in desk.answer_waiting()]
    assert types == ["match.opened", "match.applied", "session.opened", "session.ready"]
    assert ("s", 1) in desk.begun


def test_a_block_on_its_way_to_a_closed_session_is_given_up() -> None:
    desk = Desk()
    desk.open()
    assert desk.say({"type": "block.put", "session": "guard-7", "name": "never ready", "text": "x", "id": "b"}) == []
    given_up, closed = desk.say({"type": "session.close", "session": "guard-7"})
    assert (given_up["code"], given_up["reply_to"], closed["type"]) == ("not_open", "b", "session.closed")


def test_closing_a_match_closes_its_sessions() -> None:
    desk = Desk()
    desk.open()
    desk.open("smith-1", "m2")
    desk.say({"type": "match.close", "match": "m1"})
    assert code_of(desk.say(turn())) == "not_open"
    assert desk.say(turn(session="smith-1")) == []
