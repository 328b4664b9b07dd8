"""The protocol machine alone: no sockets, no threads, and time is a number."""

import json
from typing import Any

import pytest

from agent_runtime.errors import BadActions, Overloaded, PromptTooLong, StaleFrame
from agent_runtime.server.config import Limits
from agent_runtime.turn import Outcome, TurnResult
from tests.agent_runtime.server.desk import HELLO, Desk, turn


def only(messages: list[dict[str, Any]]) -> dict[str, Any]:
    assert len(messages) == 1, messages
    return messages[0]


def code_of(messages: list[dict[str, Any]]) -> str:
    message = only(messages)
    assert message["type"] == "error", message
    return str(message["code"])


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


# Bad messages.


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


# Turns.


def test_a_turn_is_answered_by_its_result() -> None:
    desk = Desk()
    desk.open()
    assert desk.say({**turn(12), "id": "q1"}) == []
    result = only(desk.decide("guard-7", 12, 0.1))
    assert result["type"] == "turn.result" and result["reply_to"] == "q1" and result["turn_id"] == 12
    assert result["outcome"] == "ok" and result["action"] == {"id": "hold"} and result["legal_mass"] == 0.25
    assert result["scores"] == [{"id": "hold", "logprob": -1.5, "p": 0.5}, {"id": "go", "logprob": -1.5, "p": 0.5}]
    assert result["account"]["mode"] == "star" and "late" not in result


def test_turns_of_many_sessions_are_under_way_at_once_and_answered_as_they_are_decided() -> None:
    desk = Desk()
    desk.open("a")
    desk.open("b")
    desk.say(turn(1, "a"))
    desk.say(turn(1, "b"))
    desk.say(turn(2, "a"))
    assert [only(desk.decide(*each, 0.0))["session"] for each in (("b", 1), ("a", 2), ("a", 1))] == ["b", "a", "a"]


def test_the_runtimes_refusal_of_a_turn_is_an_error_that_names_it() -> None:
    desk = Desk()
    desk.open()
    for number, error in enumerate([StaleFrame("m1", 1, 2), PromptTooLong(9, 8, 2, 3, "map"), BadActions("Same ids.")]):
        desk.say({**turn(number), "id": f"q{number}"})
        refused = only(desk.refuse("guard-7", number, error))
        assert (refused["code"], refused["reply_to"]) == (error.code, f"q{number}")
        assert refused["message"] == str(error) and refused["turn_id"] == number


def test_an_overloaded_runtime_is_an_outcome() -> None:
    desk = Desk()
    desk.open()
    desk.say(turn())
    result = only(desk.refuse("guard-7", 1, Overloaded("No room.")))
    assert (result["type"], result["outcome"], result["message"]) == ("turn.result", "overloaded", "No room.")


def test_more_turns_under_way_than_the_limit_are_overloaded() -> None:
    desk = Desk(limits=Limits(turns=1))
    desk.open()
    desk.say(turn(1))
    overloaded = only(desk.say(turn(2)))
    assert (overloaded["outcome"], overloaded["turn_id"]) == ("overloaded", 2)
    desk.decide("guard-7", 1, 0.0)
    assert desk.say(turn(2)) == []


def test_free_text_streams_while_a_turn_is_decided_and_never_after() -> None:
    desk = Desk()
    desk.open()
    desk.say({**turn(), "id": "q"})
    partial = only(desk.speak("guard-7", 1, "Who "))
    assert partial == {
        "type": "turn.partial",
        "reply_to": "q",
        "session": "guard-7",
        "turn_id": 1,
        "kind": "say",
        "text": "Who ",
    }
    desk.decide("guard-7", 1, 0.0)
    assert desk.speak("guard-7", 1, "goes") == []


# The same turn again.


def test_an_equal_turn_under_way_is_begun_once_and_answered_twice() -> None:
    desk = Desk()
    desk.open()
    desk.say({**turn(), "id": "first"})
    begun = desk.begun.pop(("guard-7", 1))
    assert desk.say({**turn(), "id": "again", "deadline_ms": 900}) == [] and desk.begun == {}
    desk.begun["guard-7", 1] = begun
    assert [each["reply_to"] for each in desk.decide("guard-7", 1, 0.0)] == ["first", "again"]


@pytest.mark.parametrize(
    "change",
    [
        {"observation": "Silence."},
        {"frame": 2},
        {"actions": [{"id": "go"}]},
        {"decide": {"how": "sample"}},
        {"decide": {"seed": 4}},
    ],
)
def test_another_turn_under_the_same_turn_id_is_refused_and_the_first_goes_on(change: dict[str, Any]) -> None:
    desk = Desk()
    desk.open()
    desk.say(turn())
    error = only(desk.say(turn(**change)))
    assert error["code"] == "stale_turn" and "larger turn_id" in error["message"]
    assert only(desk.decide("guard-7", 1, 0.0))["outcome"] == "ok"


def test_a_turn_that_was_answered_is_asked_of_the_runtime_again_which_stores_results() -> None:
    desk = Desk()
    desk.open()
    desk.say(turn())
    first = desk.begun["guard-7", 1]
    desk.decide("guard-7", 1, 0.0)
    desk.say(turn())
    again = desk.begun["guard-7", 1]
    assert again.ticket != first.ticket and again.ask.body_digest == first.ask.body_digest


# Deadlines.


def test_at_its_deadline_a_turn_times_out_without_an_action_and_its_action_never_comes() -> None:
    desk = Desk()
    desk.open()
    desk.say({**turn(deadline_ms=500), "id": "q"}, now=100.0)
    assert desk.machine.next_deadline == 100.5
    assert desk.tick(100.499) == []
    result = only(desk.tick(100.5))
    assert (result["type"], result["outcome"], result["reply_to"]) == ("turn.result", "timeout", "q")
    assert "action" not in result
    assert [(each.session, each.turn_id) for each in desk.cancelled] == [("guard-7", 1)]
    assert desk.cancelled[0].settled is not None and desk.cancelled[0].settled.outcome is Outcome.TIMEOUT
    assert desk.decide("guard-7", 1, 100.6) == [] and desk.machine.next_deadline is None


def test_a_decision_that_arrives_at_the_deadline_is_too_late_even_when_the_timer_was_slower() -> None:
    desk = Desk()
    desk.open()
    desk.say(turn(deadline_ms=500), now=100.0)
    assert only(desk.decide("guard-7", 1, 100.5))["outcome"] == "timeout"


def test_a_decision_just_before_the_deadline_counts() -> None:
    desk = Desk()
    desk.open()
    desk.say(turn(deadline_ms=500), now=100.0)
    assert only(desk.decide("guard-7", 1, 100.499))["outcome"] == "ok"
    assert desk.tick(100.5) == []


def test_with_on_deadline_late_the_one_answer_comes_when_it_is_decided_and_is_marked() -> None:
    desk = Desk()
    desk.open(on_deadline="late")
    desk.say(turn(1, deadline_ms=500), now=100.0)
    desk.say(turn(2, deadline_ms=500), now=100.0)
    assert desk.machine.next_deadline is None and desk.tick(101.0) == []
    late = only(desk.decide("guard-7", 1, 101.0))
    assert (late["outcome"], late["late"], late["action"]) == ("ok", True, {"id": "hold"})
    assert desk.cancelled == []


def test_in_a_late_session_a_decision_in_time_is_not_marked() -> None:
    desk = Desk()
    desk.open(on_deadline="late")
    desk.say(turn(deadline_ms=500), now=100.0)
    assert "late" not in only(desk.decide("guard-7", 1, 100.4))


def test_deadlines_of_many_turns_pass_in_their_order() -> None:
    desk = Desk()
    desk.open()
    for number, deadline_ms in enumerate([300, 100, 200]):
        desk.say(turn(number, deadline_ms=deadline_ms), now=0.0)
    seen: list[int] = []
    while (deadline := desk.machine.next_deadline) is not None:
        seen += [each["turn_id"] for each in desk.tick(deadline)]
    assert seen == [1, 2, 0]


def test_everyone_who_asked_for_a_turn_hears_of_its_timeout() -> None:
    desk = Desk()
    desk.open()
    desk.say({**turn(deadline_ms=500), "id": "a"})
    desk.say({**turn(deadline_ms=9000), "id": "b"})  # shares the first one's deadline
    assert [each["reply_to"] for each in desk.tick(0.5)] == ["a", "b"]


# Cancelling.


def test_cancelling_is_noted_and_the_turn_still_has_its_one_result() -> None:
    desk = Desk()
    desk.open()
    desk.say({**turn(), "id": "q"})
    noted = only(desk.say({"type": "turn.cancel", "session": "guard-7", "turn_id": 1, "id": "c"}))
    assert (noted["type"], noted["what"], noted["reply_to"]) == ("turn.noted", "cancelling", "c")
    assert [(each.session, each.turn_id, each.settled) for each in desk.cancelled] == [("guard-7", 1, None)]
    result = only(desk.decide("guard-7", 1, 0.0, TurnResult("guard-7", 1, Outcome.CANCELLED)))
    assert (result["outcome"], result["reply_to"]) == ("cancelled", "q")


def test_cancelling_a_turn_that_is_over_changes_nothing() -> None:
    desk = Desk()
    desk.open()
    noted = only(desk.say({"type": "turn.cancel", "session": "guard-7", "turn_id": 1}))
    assert noted["what"] == "over" and desk.cancelled == []


# Shutting down.


def test_a_draining_server_refuses_what_is_new_and_answers_what_is_under_way() -> None:
    desk = Desk()
    desk.open()
    desk.say(turn(1))
    desk.machine.drain()
    error = only(desk.say(turn(2)))
    assert (error["code"], error["retryable"]) == ("shutting_down", True)
    assert only(desk.decide("guard-7", 1, 0.0))["outcome"] == "ok"


def test_a_draining_server_greets_nobody_and_records_no_token() -> None:
    desk = Desk(token="open-sesame", greeted=False)
    desk.machine.drain()
    assert code_of(desk.say(HELLO[:-1] + ',"token":"open-sesame"}')) == "shutting_down"
    assert desk.heard[-1].text == ""
