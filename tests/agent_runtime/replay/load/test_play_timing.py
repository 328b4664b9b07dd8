"""When messages go, what a turn is measured by, and what deadlines make of it."""

import threading
from pathlib import Path

import pytest

from agent_runtime.replay.load.options import LoadOptions
from agent_runtime.turn import Outcome
from tests.agent_runtime.replay.load.runs import run
from tests.agent_runtime.replay.load.stub import (
    OPEN,
    PATIENCE_S,
    SESSION,
    STATE,
    Message,
    Stub,
    match_of,
    turn,
)

CLOSE: Message = {"type": "match.close", "id": 99, "match": "m"}


def test_in_the_open_loop_a_stalled_server_is_measured_by_every_turn_that_waited(file: Path) -> None:
    """The server answers nothing before the last turn has come: so the first has waited longest, and all count it."""
    num_turns = 5
    messages = [OPEN, STATE, SESSION, *(turn(number) for number in range(1, num_turns + 1))]

    def answers(stub: Stub, message: Message) -> list[Message]:
        if message["type"] != "turn":
            return [stub.answer(message)]
        turns = stub.of_type("turn")
        return [stub.answer(each) for each in turns] if len(turns) == num_turns else []

    stub = Stub(answers=answers)
    played = run(file, stub, messages, LoadOptions(pace=1.0, answer_s=PATIENCE_S), gap_ms=20)
    samples = list(played.modes[0].tally.samples)
    last_due_ms = max(sample.due_ms or 0 for sample in samples)
    assert [sample.due_ms for sample in samples] == pytest.approx([80, 100, 120, 140, 160])
    for sample in samples:
        assert sample.ttft_ms is not None and sample.due_ms is not None and sample.late_ms is not None
        assert sample.ttft_ms >= last_due_ms - sample.due_ms
        assert sample.late_ms > 0
    assert played.modes[0].tally.under_way_max == num_turns


def test_a_sender_that_comes_late_adds_it_to_the_latency(file: Path) -> None:
    """All is due at once: what is sent behind it was due then, too."""
    messages = [OPEN, STATE, SESSION, *(turn(number) for number in range(1, 40))]
    played = run(file, Stub(), messages, LoadOptions(pace=1e6, answer_s=PATIENCE_S))
    samples = list(played.modes[0].tally.samples)
    assert len(samples) == 39
    assert all((sample.ttft_ms or 0) > (sample.late_ms or 0) > 0 for sample in samples)


def test_a_faster_pace_makes_everything_due_sooner(file: Path) -> None:
    messages = [OPEN, STATE, SESSION, turn(1), turn(2)]
    played = run(file, Stub(), messages, LoadOptions(pace=4.0, answer_s=PATIENCE_S), gap_ms=40)
    assert [sample.due_ms for sample in played.modes[0].tally.samples] == pytest.approx([40, 50])


def test_what_became_of_a_turn_is_said_when_there_is_something_to_say_it_of(file: Path) -> None:
    """In the open loop everything else goes out when it is due; but nobody can apply what was not answered."""

    def answers(stub: Stub, message: Message) -> list[Message]:
        if message["type"] == "turn" and message["turn_id"] == 1:
            return []
        late = [stub.answer(stub.of_type("turn")[0])] if message["type"] == "turn" else []
        return [*late, stub.answer(message)]

    stub = Stub(answers=answers)
    played = run(file, stub, match_of(2), LoadOptions(pace=1.0, answer_s=PATIENCE_S))
    told = [(message["type"], message["turn_id"]) for message in stub.heard if "turn_id" in message]
    assert told[:2] == [("turn", 1), ("turn", 2)] and sorted(told[2:]) == [("turn.applied", 1), ("turn.applied", 2)]
    assert played.modes[0].tally.refused == 0


def test_a_match_is_not_closed_while_its_turns_are_under_way(file: Path) -> None:
    """The server takes a while for the turn; a close that comes before cuts it off."""

    def answers(stub: Stub, message: Message) -> list[Message]:
        if message["type"] == "turn":
            threading.Timer(0.2, lambda: stub.say([stub.answer(message)])).start()
            return []
        cut_off = [{**stub.answer(each), "outcome": "cancelled"} for each in stub.of_type("turn")]
        return [*(cut_off if message["type"] == "match.close" else []), stub.answer(message)]

    stub = Stub(answers=answers)
    played = run(file, stub, [OPEN, STATE, SESSION, turn(1), CLOSE], LoadOptions(pace=1e6, answer_s=PATIENCE_S))
    assert stub.kinds()[-2:] == ["turn", "match.close"] and len(stub.of_type("match.close")) == 1
    assert [sample.outcome for sample in played.modes[0].tally.samples] == [Outcome.OK]


def test_deadlines_go_out_in_the_open_loop_only_and_are_judged_in_both(file: Path) -> None:
    messages = match_of(1, deadline_ms=60_000.0)
    closed, opened, stricter = Stub(), Stub(), Stub()
    met = run(file, closed, messages, LoadOptions(answer_s=PATIENCE_S))
    assert "deadline_ms" not in closed.of_type("turn")[0]
    also = run(file, opened, messages, LoadOptions(pace=1.0, answer_s=PATIENCE_S))
    assert opened.of_type("turn")[0]["deadline_ms"] == 60_000
    missed = run(file, stricter, messages, LoadOptions(pace=1.0, deadline_ms=1e-6, answer_s=PATIENCE_S))
    assert stricter.of_type("turn")[0]["deadline_ms"] == 1e-6
    assert [[sample.deadline_met for sample in each.modes[0].tally.samples] for each in (met, also, missed)] == [
        [True],
        [True],
        [False],
    ]


def test_a_turn_that_timed_out_counts_with_the_time_it_took_to_say_so(file: Path) -> None:
    outcomes = iter(("timeout", "overloaded"))

    def answers(stub: Stub, message: Message) -> list[Message]:
        if message["type"] != "turn":
            return [stub.answer(message)]
        return [{**stub.answer(message), "outcome": next(outcomes), "action": None, "account": None}]

    messages = match_of(2, deadline_ms=1000.0)
    samples = list(run(file, Stub(answers=answers), messages, LoadOptions(answer_s=PATIENCE_S)).modes[0].tally.samples)
    assert [sample.outcome for sample in samples] == [Outcome.TIMEOUT, Outcome.OVERLOADED]
    assert samples[0].ttft_ms is not None and samples[1].ttft_ms is None, (
        "a turn that was turned away was fast for nothing"
    )
    assert [sample.deadline_met for sample in samples] == [False, False]


@pytest.mark.parametrize("pace", [None, 1.0])
def test_nothing_is_applied_of_a_turn_that_brought_no_decision(file: Path, pace: float | None) -> None:
    def answers(stub: Stub, message: Message) -> list[Message]:
        late = {"outcome": "timeout", "action": None} if message.get("turn_id") == 1 else {}
        return [stub.answer(message) | late]

    stub = Stub(answers=answers)
    played = run(file, stub, match_of(2), LoadOptions(pace=pace, answer_s=PATIENCE_S))
    assert [message["turn_id"] for message in stub.of_type("turn.applied")] == [2]
    assert (played.modes[0].tally.not_applied, played.modes[0].tally.refused) == (1, 0)


def test_the_first_piece_of_free_text_is_the_first_token(file: Path) -> None:
    """The whole answer to the first turn comes only when the second one is asked, a second later."""

    def answers(stub: Stub, message: Message) -> list[Message]:
        if message["type"] != "turn":
            return [stub.answer(message)]
        piece = {"type": "turn.partial", "reply_to": message["id"], "session": message["session"], "turn_id": 1}
        if message["turn_id"] == 1:
            return [{**piece, "kind": "say", "text": "Ho"}]
        return [stub.answer(each) for each in stub.of_type("turn")]

    messages = [OPEN, STATE, SESSION, turn(1, deadline_ms=900.0), turn(2)]
    played = run(file, Stub(answers=answers), messages, LoadOptions(pace=0.1, answer_s=PATIENCE_S), gap_ms=100)
    first, _ = played.modes[0].tally.samples
    assert first.ttft_ms is not None and first.ttft_ms < 900
    assert first.deadline_met is False, "a game can do nothing with a piece of an answer"
