"""Whom the server on real sockets lets in, and what ends a connection: bad messages, slow readers, torn lines."""

import json
import socket
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from agent_runtime.turn import Outcome
from tests.agent_runtime.server.conftest import PATIENCE_S, StartServer
from tests.agent_runtime.server.desk import HELLO, turn
from tests.agent_runtime.server.talking import ask, hear, open_client, raw, set_up, wait_until_closed

# Bad input.


def test_bad_messages_are_answered_and_the_connection_lives(url: str) -> None:
    with raw(url) as connection:
        connection.send(HELLO)
        assert hear(connection)["type"] == "welcome"
        for text, code, words in [
            ("{", "malformed_message", "JSON"),
            ('{"type":"mtch.open"}', "unknown_type", "match.open"),
            ('{"type":"match.open","match":"m1","gme":"camp"}', "unknown_field", "'game'"),
            ('{"type":"match.open","match":"m1","game":"cmp"}', "unknown_name", "'camp'"),
            (json.dumps(turn(session="nobody")), "not_open", "session.open"),
        ]:
            connection.send(text)
            error = hear(connection)
            assert (error["type"], error["code"]) == ("error", code) and words in error["message"]
        connection.send('{"type":"match.open","match":"m1","game":"camp"}')
        assert hear(connection)["type"] == "match.opened"


def test_an_oversize_message_is_refused_and_a_monstrous_one_ends_the_connection(start_server: StartServer) -> None:
    with raw(start_server({"limits": {"message_bytes": 1000}}).url) as connection:
        connection.send(HELLO)
        assert hear(connection)["limits"]["message_bytes"] == 1000
        connection.send("x" * 3000)
        assert hear(connection)["code"] == "message_too_big"
        connection.send("x" * 5000)
        assert wait_until_closed(connection) == (1009, 0)


def test_a_binary_frame_ends_its_connection_only(url: str) -> None:
    with open_client(url) as other, raw(url) as connection:
        connection.send(HELLO)
        hear(connection)
        connection.send(b"\x00")
        assert hear(connection)["code"] == "binary_refused"
        assert wait_until_closed(connection) == (1003, 0)
        set_up(other)


def test_who_does_not_say_hello_is_sent_away(start_server: StartServer) -> None:
    url = start_server({"hello_s": 0.05}).url
    with raw(url) as silent:
        assert hear(silent)["code"] == "hello_expected"
        assert wait_until_closed(silent) == (1008, 0)


def test_a_slow_reader_is_closed_with_try_again_later(start_server: StartServer) -> None:
    server = start_server({"close_s": PATIENCE_S, "limits": {"outgoing_bytes": 100_000}})
    with raw(server.url, max_queue=1) as slow, open_client(server.url) as watcher:
        slow.send(HELLO)
        hear(slow)
        slow.send('{"type":"match.open","match":"m2","game":"camp"}')
        slow.send('{"type":"match.state","match":"m2","frame":1,"state":{}}')
        num_turns = 40
        for number in range(num_turns):
            slow.send(json.dumps({"type": "session.open", "session": f"s{number}", "match": "m2"}))
            slow.send(json.dumps(turn(session=f"s{number}", observation="size 1000000")))
        server.wait_for_line("reads too slowly")
        set_up(watcher)
        assert ask(watcher, 1).result(PATIENCE_S).outcome is Outcome.OK
        code, num_messages = wait_until_closed(slow)
        assert code == 1013 and num_messages < 2 + 3 * num_turns


def test_a_client_that_asks_faster_than_it_is_answered_is_read_slower(start_server: StartServer) -> None:
    with raw(start_server({"limits": {"waiting": 2}}).url) as connection:
        connection.send(HELLO)
        connection.send('{"type":"match.open","match":"m1","game":"camp"}')
        for frame in range(300):
            connection.send(json.dumps({"type": "match.state", "match": "m1", "frame": frame, "state": {}}))
        heard = [hear(connection) for _ in range(302)]
        assert heard[-1]["frame"] == 299


def handshake(url: str) -> socket.socket:
    """A WebSocket whose other side does nothing by itself: no pong, no goodbye."""
    host, _, port = url.removeprefix("ws://").partition(":")
    connection = socket.create_connection((host, int(port)), timeout=PATIENCE_S)
    connection.sendall(
        f"GET / HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    assert connection.recv(12) == b"HTTP/1.1 101"
    return connection


def test_who_answers_no_ping_is_taken_for_dead(start_server: StartServer) -> None:
    with handshake(start_server({"ping_s": 0.05, "close_s": 0.05}).url) as half_open:
        heard = b""
        while piece := half_open.recv(4096):
            heard += piece
    assert b"\x89\x04" in heard and b"keepalive ping timeout" in heard


def test_a_connection_that_is_torn_harms_nobody(url: str) -> None:
    with open_client(url) as client:
        set_up(client)
        with handshake(url) as torn:
            torn.sendall(b"\x81\xfe\x10\x00 half a frame")
            torn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        assert ask(client, 1).result(PATIENCE_S).outcome is Outcome.OK


# Who may connect.


def test_a_token_is_asked_for_in_the_header_or_in_hello(start_server: StartServer) -> None:
    url = start_server({"token": "open-sesame"}).url
    with open_client(url, token="open-sesame") as client:
        set_up(client)
    with raw(url) as connection:
        connection.send(HELLO[:-1] + ',"token":"open-sesame"}')
        assert hear(connection)["type"] == "welcome"
    with raw(url) as connection:
        connection.send(HELLO)
        assert hear(connection)["code"] == "unauthorised"
        assert wait_until_closed(connection) == (1008, 0)
    with pytest.raises(InvalidStatus) as refused:
        open_client(url, token="close-sesame")
    assert refused.value.response.status_code == 401


@pytest.mark.parametrize(
    "path, origin, protocols, status",
    [
        ("/elsewhere", None, None, 404),
        ("/", "https://evil.example", None, 403),
        ("/", "null", None, 403),
        ("/", None, ["hotseat.v9"], 400),
    ],
)
def test_strange_paths_pages_and_protocols_are_refused(
    url: str, path: str, origin: Any, protocols: Any, status: int
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        raw(url + path, origin=origin, subprotocols=protocols)
    assert refused.value.response.status_code == status


def test_pages_from_loopback_and_named_ones_may_connect(start_server: StartServer) -> None:
    url = start_server({"allowed_origins": ["https://game.example"]}).url
    for origin in ("https://game.example", "http://localhost:3000"):
        with raw(url, origin=origin, subprotocols=["hotseat.v1"]) as connection:
            connection.send(HELLO)
            assert hear(connection)["type"] == "welcome"
            assert connection.subprotocol == "hotseat.v1"


def test_a_frame_is_answered_before_the_question_about_it(url: str) -> None:
    with raw(url) as connection:
        connection.send(HELLO)
        hear(connection)
        connection.send(json.dumps({"type": "match.open", "match": "both", "game": "camp"}))
        hear(connection)
        connection.send(json.dumps({"type": "session.open", "session": "both-1", "match": "both"}))
        assert [hear(connection)["type"] for _ in range(2)] == ["session.opened", "session.ready"]
        for frame in range(1, 40):
            observation = "fail begin" if frame % 2 else "A noise."
            asked = {"session": "both-1", "turn_id": frame, "frame": frame, "observation": observation}
            connection.send(
                json.dumps({"type": "match.state", "match": "both", "frame": frame, "state": {"clock": frame}})
            )
            connection.send(json.dumps({"type": "turn", **asked, "actions": [{"id": "hold"}]}))
            answer = "error" if frame % 2 else "turn.result"
            assert [hear(connection)["type"] for _ in range(2)] == ["match.applied", answer]


def test_a_defect_while_it_looks_ahead_holds_nothing_up(url: str) -> None:
    with raw(url) as connection:
        connection.send(HELLO)
        hear(connection)
        connection.send(json.dumps({"type": "match.open", "match": "stumbles", "game": "camp"}))
        assert hear(connection)["type"] == "match.opened"
        for frame in range(3):
            connection.send(
                json.dumps({"type": "match.state", "match": "stumbles", "frame": frame, "state": {"clock": frame}})
            )
            assert hear(connection)["type"] == "match.applied"
