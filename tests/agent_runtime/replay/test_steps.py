"""What a recording asks of a runtime, on recordings written line by line."""

import json
from pathlib import Path
from typing import Any

import pytest

from agent_runtime.replay.errors import OtherProtocol
from agent_runtime.replay.recording_format import FORMAT, VERSION, read_recording, seal
from agent_runtime.replay.steps import RecordedTurn, Step, steps_of
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
    assert steps(file, [OPEN, SESSION, state(1), block, turn(1), flush, patch, close]) == [
        MatchSpec("m", "duel", None, Mode.STAR),
        SessionSpec("s", "m", persona="guard"),
        PutState("m", 1, {"clock": 1}),
        PutBlock("s", "plan", "north"),
        RecordedTurn(TurnRequest("s", 1, 1, "A noise.", (ActionOption("hold"), ActionOption("go")))),
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


def test_another_protocol_is_refused_by_name(file: Path) -> None:
    recording = read_recording(write(file, [OPEN], protocol="neuro.v2"))
    with pytest.raises(OtherProtocol, match="neuro.v2"):
        list(steps_of(recording))
