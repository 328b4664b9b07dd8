"""Turns in the protocol machine: one answer each, whatever the deadline, a repetition or a cancellation."""

from typing import Any

import pytest

from agent_runtime.errors import BadActions, Overloaded, PromptTooLong, StaleFrame
from agent_runtime.server.config import Limits
from agent_runtime.turn import Outcome, TurnResult
from tests.agent_runtime.server.desk import HELLO, Desk, turn
from tests.agent_runtime.server.saying import code_of, only

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
