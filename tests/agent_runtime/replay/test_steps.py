"""What a recording asks of a runtime, on recordings written line by line."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from agent_runtime.replay.errors import OtherProtocol
from agent_runtime.replay.recording_format import FORMAT, VERSION, read_recording, seal
from agent_runtime.replay.steps import RecordedSteps, RecordedTurn, Step, steps_of
from agent_runtime.server.messages import read_json
from agent_runtime.server.runtime import CloseMatch, PutBlock, PutState
from agent_runtime.turn import Action, ActionOption, MatchSpec, Mode, SessionSpec, TurnApplied, TurnRequest

OPEN = {"type": "match.open", "id": "1", "match": "m", "game": "duel", "mode": "star"}
SESSION = {"type": "session.open", "id": "2", "session": "s", "match": "m", "persona": "guard"}
HOLD = {"id": "hold"}


def state(frame: int, **fields: Any) -> dict[str, Any]:
    return {"type": "match.state", "id": f"f{frame}", "match": "m", "frame": frame, "state": {"clock": frame}, **fields}


def turn(turn_id: int, frame: int = 1) -> dict[str, Any]:
    told = {"observation": "A noise.", "actions": [HOLD, {"id": "go"}]}
    return {"type": "turn", "id": f"t{turn_id}", "session": "s", "turn_id": turn_id, "frame": frame, **told}


def result(turn_id: int, action: dict[str, Any] | None = HOLD, **fields: Any) -> dict[str, Any]:
    answered = {"outcome": "ok", "action": action} if action else {"outcome": "timeout"}
    return {"type": "turn.result", "session": "s", "turn_id": turn_id, **answered, **fields}


def applied(turn_id: int, ok: bool = True, **fields: Any) -> dict[str, Any]:
    return {"type": "turn.applied", "id": f"a{turn_id}", "session": "s", "turn_id": turn_id, "ok": ok, **fields}


def error(reply_to: str) -> dict[str, Any]:
    return {"type": "error", "reply_to": reply_to, "code": "bad", "message": "No.", "retryable": False}


FROM_SERVER = {"turn.result", "error"}


def write(file: Path, *parts: list[dict[str, Any]], protocol: str = "hotseat.v1") -> Path:
    """A recording of messages, one list for each server process; who sent a message follows from its type."""
    with file.open("wb") as out:
        for messages in parts:
            out.write(
                seal({"format": FORMAT, "version": VERSION, "created": "now", "protocol": protocol, "server": "x"})
            )
            for seq, message in enumerate(messages, 1):
                direction = "s2c" if message["type"] in FROM_SERVER else "c2s"
                line = {"t_ns": seq, "seq": seq, "dir": direction, "conn": "c1", "kind": message["type"]}
                out.write(seal({**line, "payload": json.dumps(message)}))
    return file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "match-m.jsonl"


def steps(file: Path, *parts: list[dict[str, Any]]) -> list[Step]:
    return list(steps_of(read_recording(write(file, *parts))))


def test_frames_become_steps_in_their_order(file: Path) -> None:
    block = {"type": "block.put", "session": "s", "name": "plan", "text": "north"}
    close = {"type": "match.close", "match": "m"}
    flush = {"type": "flush", "match": "m"}
    patch = {"type": "match.state", "match": "m", "frame": 2, "patch": [{"op": "remove", "path": "/clock"}]}
    asked = TurnRequest("s", 1, 1, "A noise.", (ActionOption("hold"), ActionOption("go")))
    assert steps(file, [OPEN, SESSION, state(1), block, turn(1), flush, patch, close]) == [
        MatchSpec("m", "duel", None, Mode.STAR),
        SessionSpec("s", "m", persona="guard"),
        PutState("m", 1, {"clock": 1}),
        PutBlock("s", "plan", "north"),
        RecordedTurn(asked, is_first=True),
        PutState("m", 2, patch=[{"op": "remove", "path": "/clock"}]),
        CloseMatch("m"),
    ]


def test_a_turn_knows_its_recorded_action_and_the_length_of_its_prompt(file: Path) -> None:
    account = {"mode": "star", "model": "default", "block_tuned": False, "tokens_prompt": 77}
    (asked,) = steps(file, [turn(1), result(1, account=account)])
    assert isinstance(asked, RecordedTurn)
    assert (asked.action, asked.num_tokens) == (Action("hold"), 77)


def test_history_takes_what_was_done_then(file: Path) -> None:
    told = steps(
        file,
        [
            *(turn(1), result(1), applied(1, reward=2.0)),
            *(turn(2), result(2), applied(2, action={"id": "go", "args": {"to": "mill"}})),
            *(turn(3), result(3), applied(3, ok=False, message="The gate is shut.")),
        ],
    )
    assert [step for step in told if isinstance(step, TurnApplied)] == [
        TurnApplied("s", 1, True, None, 2.0, Action("hold")),
        TurnApplied("s", 2, True, None, None, Action("go", {"to": "mill"})),
        TurnApplied("s", 3, False, "The gate is shut.", None, Action("hold")),
    ]


def test_a_turn_without_an_action_stays_without_one(file: Path) -> None:
    _, done = steps(file, [turn(1), result(1, None), applied(1)])
    assert done == TurnApplied("s", 1, False, "the action was not possible")


def test_what_was_refused_then_is_left_out(file: Path) -> None:
    assert steps(file, [OPEN, state(1), state(2), error("f2"), {"type": "match.stat"}, {"type": "turn"}]) == [
        MatchSpec("m", "duel", None, Mode.STAR),
        PutState("m", 1, {"clock": 1}),
    ]


def test_an_error_of_another_process_refuses_nothing(file: Path) -> None:
    assert len(steps(file, [OPEN, state(1)], [error("f1")])) == 2


def test_a_turn_asked_again_after_a_restart_is_one_turn_with_the_later_answer(file: Path) -> None:
    opened, asked, again = steps(file, [OPEN, turn(1)], [OPEN, turn(1), result(1)])
    assert opened == again == MatchSpec("m", "duel", None, Mode.STAR)
    assert isinstance(asked, RecordedTurn)
    assert asked.action == Action("hold")


def test_a_match_that_was_closed_may_count_its_turns_anew(file: Path) -> None:
    close = {"type": "match.close", "match": "m"}
    told = steps(file, [turn(1), result(1), close, OPEN, turn(1), result(1, {"id": "go"}), applied(1)])
    assert [step.action for step in told if isinstance(step, RecordedTurn | TurnApplied)] == [
        Action("hold"),
        Action("go"),
        Action("go"),
    ]


def test_a_session_that_was_closed_may_count_its_turns_anew(file: Path) -> None:
    close = {"type": "session.close", "session": "s"}
    told = steps(file, [SESSION, turn(1), close, SESSION, turn(1), result(1, {"id": "go"}), turn(2)])
    asked = [step for step in told if isinstance(step, RecordedTurn)]
    assert [(step.request.turn_id, step.action) for step in asked] == [(1, None), (1, Action("go")), (2, None)]


def test_the_first_turn_of_a_session_since_it_was_opened_is_marked(file: Path) -> None:
    close, second = {"type": "match.close", "match": "m"}, {**turn(1), "session": "s2"}
    told = steps(file, [SESSION, turn(1), SESSION, turn(1), turn(2), second, close, SESSION, turn(1)])
    assert [step.is_first for step in told if isinstance(step, RecordedTurn)] == [True, False, True, True]


def test_an_id_that_a_client_uses_again_is_refused_only_where_it_was(file: Path) -> None:
    again = {**state(2), "id": "f1"}
    told = steps(file, [OPEN, state(1), error("f1"), again, {**state(3), "id": "f1"}, error("f1")])
    assert [step.frame for step in told if isinstance(step, PutState)] == [2]


def test_an_error_without_reply_refuses_nothing(file: Path) -> None:
    nameless = {key: value for key, value in state(1).items() if key != "id"}
    unasked = {key: value for key, value in error("").items() if key != "reply_to"}
    assert len(steps(file, [OPEN, nameless, unasked])) == 2


def test_an_answer_is_found_however_much_later_it_came(file: Path) -> None:
    between = [state(frame) for frame in range(2, 3000)]
    first, *_ = (step for step in steps(file, [turn(1), *between, result(1)]) if isinstance(step, RecordedTurn))
    assert first.action == Action("hold")


def test_a_turn_knows_its_deadline(file: Path) -> None:
    (asked,) = steps(file, [{**turn(1), "deadline_ms": 250.0}])
    assert isinstance(asked, RecordedTurn) and asked.deadline_ms == 250


def test_a_session_is_opened_as_it_was_for_late_answers(file: Path) -> None:
    write(file, [OPEN, {**SESSION, "on_deadline": "late"}, state(1)])
    assert [each.on_deadline for each in RecordedSteps(read_recording(file))] == ["timeout", "late", "timeout"]


def test_steps_know_when_they_came_and_parts_follow_each_other(file: Path) -> None:
    recording = read_recording(write(file, [OPEN, state(1)], [OPEN, state(2)]))
    told = list(RecordedSteps(recording))
    assert [each.at_ms * 1e6 for each in told] == pytest.approx([1, 2, 3, 4])
    assert {each.conn for each in told} == {"c1"}


def test_steps_of_one_recording_can_be_read_side_by_side(file: Path) -> None:
    both = RecordedSteps(read_recording(write(file, [OPEN, turn(1), result(1), applied(1), turn(2), result(2)])))
    assert both.count_turns() == 2
    assert all(one == other for one, other in zip(both, both, strict=True))


def peak_of_reading(file: Path, num_turns: int) -> int:
    """The most bytes held at once while a recording of so many turns is read for its steps."""
    with file.open("wb") as out:
        out.write(seal({"format": FORMAT, "version": VERSION, "created": "", "protocol": "hotseat.v1", "server": ""}))
        seq = 0
        for number in range(num_turns):
            pushed = {**state(number), "state": {"clock": number, "map": "x" * 2000}}
            for message in (pushed, turn(number, number), result(number), applied(number)):
                seq += 1
                direction = "s2c" if message["type"] in FROM_SERVER else "c2s"
                line = {"t_ns": seq, "seq": seq, "dir": direction, "conn": "c1", "kind": message["type"]}
                out.write(seal({**line, "payload": json.dumps(message)}))
    tracemalloc.start()
    try:
        fill_the_parsers_cache()
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        assert RecordedSteps(read_recording(file)).count_turns() == num_turns
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def fill_the_parsers_cache() -> None:
    """The JSON parser keeps some thousand short strings: so many and no more."""
    read_json(json.dumps({"strings": [f"string {number}" for number in range(60_000)]}))


def test_reading_takes_no_more_memory_for_ten_times_the_turns(file: Path) -> None:
    peak_of_reading(file, 10)  # what is made once
    short, long = peak_of_reading(file, 500), peak_of_reading(file, 4000)
    # A turn keeps eight bytes, and has three thousand in the file; the rest is the noise of caches.
    assert long - short < 32 * (4000 - 500)


def test_another_protocol_is_refused_by_name(file: Path) -> None:
    recording = read_recording(write(file, [OPEN], protocol="neuro.v2"))
    with pytest.raises(OtherProtocol, match="neuro.v2"):
        list(steps_of(recording))
