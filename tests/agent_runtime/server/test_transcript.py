"""A conversation with every message type, replayed through the protocol machine: what goes out is pinned to the byte.

Lines of transcript.jsonl that have an `at` are what happens then; the lines behind them are what comes of it. After a
wanted change of the protocol, `python -m tests.agent_runtime.server.test_transcript` writes what comes of it anew.
"""

import json
from pathlib import Path
from typing import Any

from agent_runtime.server.client_messages import CLIENT_MESSAGES
from agent_runtime.server.messages import server_message
from agent_runtime.server.server_messages import SERVER_MESSAGES
from agent_runtime.turn import Outcome, TurnResult
from tests.agent_runtime.server.desk import Desk

TRANSCRIPT = Path(__file__).with_name("transcript.jsonl")


def lines_of_transcript() -> list[dict[str, Any]]:
    return [json.loads(line) for line in TRANSCRIPT.read_text(encoding="utf-8").splitlines()]


def play(happenings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What happens, each followed by what comes of it."""
    desk = Desk(greeted=False)
    played: list[dict[str, Any]] = []
    for happening in happenings:
        desk.sent.clear()
        desk.cancelled.clear()
        at = happening["at"]
        match happening:
            case {"in": text}:
                desk.say(text, at)
            case {"decide": [session, turn_id, "ok"]}:
                desk.decide(session, turn_id, at)
            case {"decide": [session, turn_id, outcome]}:
                desk.decide(session, turn_id, at, TurnResult(session, turn_id, Outcome(outcome)))
            case {"speak": [session, turn_id, text]}:
                desk.speak(session, turn_id, text, at)
            case {"tick": True}:
                desk.tick(at)
            case {"binary": True}:
                desk.take(desk.machine.receive_binary(), at)
        played.append(happening)
        played += [{"out": text} for text in desk.sent]
        played += [{"cancel": [each.session, each.turn_id]} for each in desk.cancelled]
        if desk.closed is not None:
            played.append({"close": [desk.closed.code, desk.closed.reason]})
    return played


def test_the_transcript_is_what_the_machine_says_to_the_byte() -> None:
    pinned = lines_of_transcript()
    assert play([line for line in pinned if "at" in line]) == pinned


def test_the_transcript_has_every_message_type() -> None:
    lines = lines_of_transcript()
    said = {json.loads(line["in"])["type"] for line in lines if line.get("in", "").endswith("}")}
    answered = {json.loads(line["out"])["type"] for line in lines if "out" in line}
    assert said >= {model.model_fields["type"].default for model in CLIENT_MESSAGES}
    assert answered == {model.model_fields["type"].default for model in SERVER_MESSAGES}


def test_a_client_reads_every_line_of_the_transcript_and_would_write_it_the_same() -> None:
    for line in lines_of_transcript():
        if "out" in line:
            message = server_message(line["out"])
            assert message is not None and message.encode() == line["out"]


if __name__ == "__main__":
    anew = play([line for line in lines_of_transcript() if "at" in line])
    TRANSCRIPT.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in anew), encoding="utf-8")
