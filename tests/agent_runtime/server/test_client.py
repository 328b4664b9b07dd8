"""The client against a server that says whatever a test wants."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from agent_runtime.server import Client
from agent_runtime.server import server_messages as s2c
from agent_runtime.server.errors import (
    BadCombination,
    BadField,
    ConnectionLost,
    MessageTooBig,
    NoAnswer,
    NotOpen,
    ServerError,
)
from agent_runtime.turn import Action, ActionOption, Decide, Outcome
from tests.agent_runtime.server.desk import welcome

PATIENCE_S = 20.0

Answering = Callable[[ServerConnection, dict[str, Any]], None]


@contextmanager
def scripted_server(answer: Answering) -> Iterator[str]:
    """A server that greets, and then hands every message to `answer`."""

    def handle(connection: ServerConnection) -> None:
        try:
            for text in connection:
                message = json.loads(text)
                if message["type"] == "hello":
                    connection.send(welcome().model_copy(update={"reply_to": message["id"]}).encode())
                else:
                    answer(connection, message)
        except ConnectionClosed:
            pass

    with serve(handle, "127.0.0.1", 0, compression=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        finally:
            server.shutdown()
            thread.join(PATIENCE_S)


def say(connection: ServerConnection, **message: Any) -> None:
    connection.send(json.dumps(message))


def test_unknown_types_and_fields_are_ignored() -> None:
    def answer(connection: ServerConnection, message: dict[str, Any]) -> None:
        say(connection, type="weather", reply_to=message["id"], wind=3)
        connection.send("not json")
        say(connection, type="match.closed", match="m1", reply_to=message["id"], mood="glad")

    with scripted_server(answer) as url, Client(url) as client:
        assert client.close_match("m1").match == "m1"


def test_a_late_answer_is_dropped_and_never_taken_for_another() -> None:
    held: list[dict[str, Any]] = []

    def answer(connection: ServerConnection, message: dict[str, Any]) -> None:
        if not held:
            held.append(message)
            return
        say(connection, type="flushed", reply_to=held[0]["id"], match="m1", blocks=1, bytes=1, ms=1)
        say(connection, type="flushed", reply_to=message["id"], match="m2", blocks=2, bytes=2, ms=2)

    with scripted_server(answer) as url, Client(url, timeout_s=0.05) as client:
        with pytest.raises(NoAnswer) as waited:
            client.flush("m1")
        assert waited.value.asked == "flush" and waited.value.retryable
        client._timeout_s = PATIENCE_S
        assert client.flush("m2").match == "m2"


def test_answers_may_come_in_any_order() -> None:
    asked: list[dict[str, Any]] = []

    def answer(connection: ServerConnection, message: dict[str, Any]) -> None:
        asked.append(message)
        if len(asked) == 3:
            for each in reversed(asked):
                say(
                    connection,
                    type="turn.result",
                    reply_to=each["id"],
                    session=each["session"],
                    turn_id=each["turn_id"],
                    outcome="ok",
                    action={"id": each["session"]},
                )

    with scripted_server(answer) as url, Client(url) as client:
        futures = [
            client.begin_turn(name, 1, frame=1, observation="", actions=[ActionOption("x")]) for name in ("a", "b", "c")
        ]
        assert [each.result(PATIENCE_S).action for each in futures] == [Action("a"), Action("b"), Action("c")]


def test_what_is_sent_has_the_shape_of_the_wire() -> None:
    heard: list[dict[str, Any]] = []

    def answer(connection: ServerConnection, message: dict[str, Any]) -> None:
        heard.append(message)
        say(connection, type="turn.result", reply_to=message["id"], session="s", turn_id=1, outcome="ok")

    with scripted_server(answer) as url, Client(url) as client:
        result = client.turn(
            "s",
            1,
            frame=3,
            observation="A noise.",
            actions=[ActionOption("go", "go to", {"type": "object", "properties": {"to": {"type": "null"}}})],
            decide=Decide("sample", 0.5, seed=7),
            deadline_ms=250,
        )
    assert result.outcome is Outcome.OK
    assert heard == [
        {
            "type": "turn",
            "id": heard[0]["id"],
            "session": "s",
            "turn_id": 1,
            "frame": 3,
            "observation": "A noise.",
            "actions": [
                {"id": "go", "text": "go to", "schema": {"type": "object", "properties": {"to": {"type": "null"}}}}
            ],
            "decide": {"how": "sample", "temperature": 0.5, "seed": 7, "think_tokens": 0, "say_tokens": 0},
            "deadline_ms": 250.0,
        }
    ]


def test_a_refusal_is_a_typed_error_with_the_servers_sentence() -> None:
    def answer(connection: ServerConnection, message: dict[str, Any]) -> None:
        say(connection, type="error", reply_to=message["id"], code="too_many", message="Enough.", retryable=True)

    with scripted_server(answer) as url, Client(url) as client:
        with pytest.raises(ServerError, match="Enough") as refused:
            client.open_match("m", "camp")
        assert (refused.value.code, refused.value.retryable) == ("too_many", True)


def test_an_error_that_answers_nothing_of_ours_is_kept() -> None:
    def answer(connection: ServerConnection, message: dict[str, Any]) -> None:
        say(connection, type="error", code="malformed_message", message="What?", retryable=False)
        say(connection, type="match.closed", match="m1", reply_to=message["id"])

    with scripted_server(answer) as url, Client(url) as client:
        client.close_match("m1")
        assert [each.code for each in client.unmatched] == ["malformed_message"]


def test_an_answer_that_cannot_be_read_reaches_who_asked() -> None:
    def answer(connection: ServerConnection, message: dict[str, Any]) -> None:
        say(connection, type="match.closed", reply_to=message["id"])

    with scripted_server(answer) as url, Client(url) as client, pytest.raises(ServerError, match="'match'"):
        client.close_match("m1")


def test_a_cut_connection_ends_every_wait_and_every_later_question() -> None:
    def answer(connection: ServerConnection, message: dict[str, Any]) -> None:
        if message["type"] == "flush":
            connection.close(1013, "slow")

    with scripted_server(answer) as url, Client(url) as client:
        waiting = client.put_block("s", "sheet", "x")
        with pytest.raises(ConnectionLost):
            client.flush("m")
        with pytest.raises(ConnectionLost) as lost:
            waiting.result(PATIENCE_S)
        assert (lost.value.close_code, lost.value.reason) == (1013, "slow")
        with pytest.raises(ConnectionLost):
            client.flush("m")


def test_what_the_server_would_refuse_is_not_sent() -> None:
    def answer(connection: ServerConnection, message: dict[str, Any]) -> None:
        raise AssertionError("nothing should have been sent")

    with scripted_server(answer) as url, Client(url) as client:
        with pytest.raises(BadField, match="'match'"):
            client.open_match("../m", "camp")
        with pytest.raises(BadCombination, match="'state'"):
            client.put_state("m", 1)
        with pytest.raises(BadField, match=r"'state\.ships\.0' of 'match\.state': the number nan"):
            client.put_state("m", 1, state={"ships": [float("nan")]})
        with pytest.raises(BadField, match=r"'patch\.0\.value'.*the set"):
            client.put_state("m", 1, patch=[{"op": "add", "path": "/seen", "value": {"gull"}}])
        with pytest.raises(BadField, match=r"'actions\.0' of 'turn'.*ActionOption\('wait'\)"):
            client.turn("s", 1, frame=1, observation="", actions=["wait"])  # type: ignore[list-item]
        with pytest.raises(MessageTooBig):
            client.put_state("m", 1, state={"x": "y" * client.welcome.limits.message_bytes})


def test_pieces_of_text_reach_their_turn_and_a_failing_listener_harms_nothing() -> None:
    def answer(connection: ServerConnection, message: dict[str, Any]) -> None:
        names = {"session": message["session"], "turn_id": message["turn_id"]}
        say(connection, type="turn.partial", kind="say", text="Hm", **names)
        say(connection, type="turn.result", reply_to=message["id"], outcome="ok", say="Hm", **names)

    heard: list[str] = []

    def fail(piece: s2c.TurnPartial) -> None:
        heard.append(piece.text)
        raise RuntimeError("scripted")

    with scripted_server(answer) as url, Client(url) as client:
        for turn_id in (1, 2):
            result = client.turn("s", turn_id, frame=1, observation="", actions=[ActionOption("x")], on_partial=fail)
            assert result.say == "Hm"
    assert heard == ["Hm", "Hm"]


def test_waiting_for_a_session_that_was_not_opened_is_a_typed_error() -> None:
    with scripted_server(lambda connection, message: None) as url, Client(url) as client:
        with pytest.raises(NotOpen, match=r"session\.open"):
            client.wait_ready("nobody")


def test_a_server_that_is_not_there_is_an_os_error() -> None:
    with scripted_server(lambda connection, message: None) as url:
        pass
    with pytest.raises(OSError):
        Client(url)
