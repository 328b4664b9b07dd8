"""The server on real sockets, in a process of its own, with the scripted runtime behind it."""

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from agent_runtime.replay.recording_format import read_recording
from agent_runtime.server import Client
from agent_runtime.server import server_messages as s2c
from agent_runtime.server.errors import ConnectionLost, ServerError
from agent_runtime.turn import Action, ActionOption, Outcome
from tests.agent_runtime.server.conftest import PATIENCE_S, ROOT, StartServer
from tests.agent_runtime.server.desk import HELLO, turn

ACTIONS = (ActionOption("hold", "stay here"), ActionOption("go", "go to the gate"))


def open_client(url: str, **settings: Any) -> Client:
    return Client(url, timeout_s=PATIENCE_S, **settings)


def set_up(client: Client, session: str = "guard-7", match: str = "m1", **settings: Any) -> None:
    opened = client.open_match(match, "camp")
    if opened.frame is None:
        client.put_state(match, 1, state={"clock": 1})
    client.open_session(session, match, **settings)


def ask(client: Client, turn_id: int, observation: str = "A noise.", **fields: Any) -> Future[s2c.TurnResult]:
    settings = {"session": "guard-7", "frame": 1, "actions": ACTIONS, **fields}
    session = settings.pop("session")
    return client.begin_turn(session, turn_id, observation=observation, **settings)


def raw(url: str, **settings: Any) -> ClientConnection:
    return connect(url, proxy=None, compression=None, **settings)


def hear(connection: ClientConnection) -> dict[str, Any]:
    heard: dict[str, Any] = json.loads(connection.recv(timeout=PATIENCE_S, decode=True))
    return heard


def wait_until_closed(connection: ClientConnection) -> tuple[int, int]:
    """The close code, and how many messages came before."""
    num_messages = 0
    try:
        while True:
            connection.recv(timeout=PATIENCE_S)
            num_messages += 1
    except ConnectionClosed as closed:
        return (1006 if closed.rcvd is None else closed.rcvd.code), num_messages


def test_a_game_is_played_from_hello_to_goodbye(url: str) -> None:
    with open_client(url) as client:
        assert [model.name for model in client.welcome.models] == ["tiny", "tuned"]
        opened = client.open_match("m1", "camp", mode="star")
        assert (opened.mode, opened.resumed, opened.frame) == ("star", False, None)
        assert client.put_state("m1", 1, state={"clock": 1, "units": {}}).added == ("clock", "units")
        assert client.put_state("m1", 2, patch=[{"op": "replace", "path": "/clock", "value": None}]).frame == 2
        assert client.open_session("guard-7", "m1", persona="guard").last_turn_id is None
        assert client.wait_ready("guard-7").encoded == 70
        assert client.put_block("guard-7", "sheet", "A guard.").result(PATIENCE_S).tokens == 95
        result = client.turn("guard-7", 1, frame=2, observation="A noise.", actions=ACTIONS)
        assert (result.outcome, result.action, result.legal_mass) == (Outcome.OK, Action("hold"), 0.25)
        assert result.account is not None and result.account.tokens_computed == 10
        assert client.apply_turn("guard-7", 1, ok=True, reward=0.5).what == "applied"
        assert client.cancel_turn("guard-7", 1).what == "over"
        assert client.flush("m1").blocks == 2
        client.close_session("guard-7")
        client.close_match("m1")


def test_free_text_streams_before_the_result(url: str) -> None:
    with open_client(url) as client:
        set_up(client)
        pieces: list[str] = []
        result = ask(client, 1, "say who goes there", on_partial=lambda piece: pieces.append(piece.text))
        assert result.result(PATIENCE_S).say == "who goes there"
        assert pieces == ["who", "goes", "there"]


def test_a_slow_turn_holds_up_neither_its_connection_nor_another(url: str) -> None:
    with open_client(url) as one, open_client(url) as other:
        set_up(one)
        one.open_session("smith-1", "m1")
        slow = ask(one, 1, "hold gate")
        assert ask(one, 1, session="smith-1").result(PATIENCE_S).outcome is Outcome.OK
        set_up(other, "cook-2", "m2")
        assert ask(other, 1, session="cook-2").result(PATIENCE_S).outcome is Outcome.OK
        one.put_state("m1", 2, state={"clock": 2})  # the slow turn has its snapshot of frame 1
        assert not slow.done()
        one.put_block("smith-1", "release", "gate")
        assert slow.result(PATIENCE_S).outcome is Outcome.OK


def test_many_sessions_ask_at_once_and_every_answer_finds_its_question(url: str) -> None:
    with open_client(url) as client:
        set_up(client)
        names = [f"npc-{number}" for number in range(40)]
        for name in names:
            client.open_session(name, "m1")
        asked = [ask(client, 7, f"hold {name}", session=name) for name in names]
        for name in reversed(names):
            client.put_block("guard-7", "release", name)
        assert [each.result(PATIENCE_S).session for each in asked] == names


def test_messages_of_a_connection_keep_their_order(url: str) -> None:
    with raw(url) as connection:
        connection.send(HELLO)
        connection.send('{"type":"match.open","match":"m1","game":"camp"}')
        for frame in range(1, 200):
            connection.send(
                json.dumps({"type": "match.state", "match": "m1", "frame": frame, "state": {}, "id": frame})
            )
        connection.send('{"type":"session.open","session":"guard-7","match":"m1"}')
        connection.send(json.dumps(turn(frame=199)))
        heard = [hear(connection) for _ in range(204)]
    assert [each["type"] for each in heard[:2]] == ["welcome", "match.opened"]
    assert [each["frame"] for each in heard[2:201]] == list(range(1, 200))
    assert [each["type"] for each in heard[201:]] == ["session.opened", "session.ready", "turn.result"]


def test_at_the_deadline_the_timeout_comes_and_the_late_action_never(url: str) -> None:
    with open_client(url) as client:
        set_up(client)
        result = ask(client, 1, "deaf gate", deadline_ms=30).result(PATIENCE_S)
        assert (result.outcome, result.action) == (Outcome.TIMEOUT, None)
        again = ask(client, 1, "deaf gate", deadline_ms=PATIENCE_S * 1000)
        assert again.result(PATIENCE_S).outcome is Outcome.TIMEOUT
        client.put_block("guard-7", "release", "gate")
        client.flush("m1")  # the fake runtime has finished the turn by now
        assert ask(client, 1, "deaf gate").result(PATIENCE_S).outcome is Outcome.TIMEOUT
        assert ask(client, 2).result(PATIENCE_S).outcome is Outcome.OK


def test_in_a_late_session_the_action_comes_marked(url: str) -> None:
    with open_client(url) as client:
        set_up(client, on_deadline="late")
        client.open_session("smith-1", "m1")
        late = ask(client, 1, "hold gate", deadline_ms=30)
        assert ask(client, 1, "hold gate", session="smith-1", deadline_ms=60).result(PATIENCE_S).outcome == "timeout"
        client.put_block("guard-7", "release", "gate")
        result = late.result(PATIENCE_S)
        assert (result.outcome, result.late, result.action) == (Outcome.OK, True, Action("hold"))


def test_a_cancelled_turn_comes_back_cancelled(url: str) -> None:
    with open_client(url) as client:
        set_up(client)
        asked = ask(client, 1, "hold gate")
        assert client.cancel_turn("guard-7", 1).what == "cancelling"
        assert asked.result(PATIENCE_S).outcome is Outcome.CANCELLED


@pytest.mark.parametrize(
    "observation, outcome", [("fail", Outcome.ERROR), ("full", Outcome.OVERLOADED), ("fail begin", "server_fault")]
)
def test_a_failing_turn_harms_nobody_else(url: str, observation: str, outcome: str) -> None:
    with open_client(url) as client:
        set_up(client)
        asked = ask(client, 1, observation)
        if outcome == "server_fault":
            with pytest.raises(ServerError, match="server failed") as failed:
                asked.result(PATIENCE_S)
            assert failed.value.code == outcome
        else:
            assert asked.result(PATIENCE_S).outcome == outcome
        assert ask(client, 2).result(PATIENCE_S).outcome is Outcome.OK


def test_a_session_opened_anew_counts_its_turns_anew(url: str) -> None:
    with open_client(url) as client:
        set_up(client)
        assert ask(client, 1, "hold gate", deadline_ms=30).result(PATIENCE_S).outcome is Outcome.TIMEOUT
        left = ask(client, 2, "hold gate")
        client.close_match("m1")
        assert left.result(PATIENCE_S).outcome is Outcome.CANCELLED
        set_up(client)
        assert ask(client, 1, "Another game.").result(PATIENCE_S).outcome is Outcome.OK


# The same turn again.


def test_a_repeated_turn_has_the_stored_result_and_another_body_is_refused(url: str) -> None:
    with open_client(url) as client:
        set_up(client)
        first = ask(client, 12).result(PATIENCE_S)
        assert ask(client, 12).result(PATIENCE_S).model_copy(update={"reply_to": first.reply_to}) == first
        with pytest.raises(ServerError) as refused:
            ask(client, 12, "Silence.").result(PATIENCE_S)
        assert refused.value.code == "stale_turn"
        with pytest.raises(ServerError) as refused:
            ask(client, 11).result(PATIENCE_S)
        assert refused.value.code == "stale_turn"


def test_a_turn_outlives_its_connection_and_the_next_one_shares_it(url: str) -> None:
    with open_client(url) as first:
        set_up(first)
        cut = ask(first, 1, "hold gate")
    with pytest.raises(ConnectionLost):
        cut.result(PATIENCE_S)
    with open_client(url) as second:
        set_up(second)
        shared = ask(second, 1, "hold gate")
        second.put_block("guard-7", "release", "gate")
        assert shared.result(PATIENCE_S).outcome is Outcome.OK


def test_after_a_kill_a_repeated_turn_has_the_stored_result(start_server: StartServer, tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    server = start_server(results=results)
    with open_client(server.url) as client:
        set_up(client)
        before = ask(client, 5).result(PATIENCE_S)
        waiting = ask(client, 6, "hold gate")
        server.process.kill()
        with pytest.raises(ConnectionLost):
            waiting.result(PATIENCE_S)
        with pytest.raises(ConnectionLost):
            client.flush("m1")
    with open_client(start_server(results=results).url) as client:
        set_up(client)
        after = ask(client, 5).result(PATIENCE_S)
        assert after.model_copy(update={"reply_to": before.reply_to}) == before


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


def start_and_fail(config: dict[str, Any]) -> str:
    command: Sequence[str] = [sys.executable, "-m", "tests.agent_runtime.server.serve_fake"]
    ran = subprocess.run(
        [*command, json.dumps({"config": config})], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert ran.returncode != 0
    return ran.stderr


def test_an_address_that_others_can_reach_needs_a_token() -> None:
    stderr = start_and_fail({"host": "0.0.0.0", "port": 0})
    assert "TokenRequired" in stderr and "set a token" in stderr


def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        stderr = start_and_fail({"port": port})
    assert "PortInUse" in stderr and str(port) in stderr


# Stopping.


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_cancels_turns_closes_the_runtime_and_says_goodbye(start_server: StartServer, number: int) -> None:
    server = start_server()
    with open_client(server.url) as client, raw(server.url) as idle:
        set_up(client)
        asked = ask(client, 1, "hold gate")
        client.open_session("smith-1", "m1")  # behind the turn: it has begun
        server.process.send_signal(number)
        assert asked.result(PATIENCE_S).outcome is Outcome.CANCELLED
        server.wait_for_line("closed with")
        assert server.process.wait(PATIENCE_S) == 0
        assert wait_until_closed(idle)[0] == 1001
        with pytest.raises(ConnectionLost) as lost:
            client.flush("m1")
        assert lost.value.close_code == 1001


def test_a_runtime_that_hangs_does_not_keep_the_server_from_stopping(start_server: StartServer) -> None:
    server = start_server({"drain_s": 0.5})
    with open_client(server.url) as client:
        set_up(client)
        asked = ask(client, 1, "deaf gate")
        client.open_session("smith-1", "m1")
        server.process.terminate()
        assert asked.result(PATIENCE_S).outcome is Outcome.CANCELLED
    assert server.process.wait(PATIENCE_S) == 0


# Recording.


def test_a_match_is_recorded_as_it_went_over_the_wire(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server({"token": "open-sesame"}, record=tmp_path)
    with open_client(server.url, token="open-sesame") as client:
        set_up(client)
        ask(client, 1).result(PATIENCE_S)
        client.close_match("m1")
    with raw(server.url) as connection:
        connection.send(HELLO[:-1] + ',"token":"open-sesame"}')
        hear(connection)
    server.process.terminate()
    assert server.process.wait(PATIENCE_S) == 0
    (file,) = tmp_path.glob("match-*.jsonl")
    (part,) = read_recording(file).parts
    assert (part.header.match, part.header.game, part.header.mode) == ("m1", "camp", "prefix")
    assert [(line.dir, line.kind) for line in part.lines] == [
        ("c2s", "match.open"),
        ("s2c", "match.opened"),
        ("c2s", "match.state"),
        ("s2c", "match.applied"),
        ("c2s", "session.open"),
        ("s2c", "session.opened"),
        ("s2c", "session.ready"),
        ("c2s", "turn"),
        ("int", "account"),
        ("s2c", "turn.result"),
        ("c2s", "match.close"),
        ("s2c", "match.closed"),
    ]
    assert part.end is not None and part.end.counts == {"c2s": 5, "s2c": 6, "int": 1}
    everything = b"".join(each.read_bytes() for each in tmp_path.iterdir())
    assert b"sesame" not in everything and (tmp_path / "server.jsonl").exists()


def test_a_match_that_outlives_its_server_is_one_recording(start_server: StartServer, tmp_path: Path) -> None:
    for _ in range(2):
        server = start_server(record=tmp_path)
        with open_client(server.url) as client:
            set_up(client)
            client.turn("guard-7", 1, frame=1, observation="A noise.", actions=ACTIONS)
            client.flush("m1")
            server.process.kill()
            server.process.wait(PATIENCE_S)
    (file,) = tmp_path.glob("match-*.jsonl")
    recording = read_recording(file)
    assert [part.end for part in recording.parts] == [None, None]
    assert {line.kind for _, line in recording.lines} >= {"match.open", "turn", "turn.result"}


# From many threads.


def test_a_client_may_be_used_from_many_threads(url: str) -> None:
    with open_client(url) as client:
        client.open_match("m1", "camp")
        client.put_state("m1", 1, state={})
        outcomes: list[str] = []

        def play(name: str) -> None:
            client.open_session(name, "m1")
            for number in range(10):
                result = client.turn(name, number, frame=1, observation="A noise.", actions=ACTIONS)
                assert result.session == name
                outcomes.append(result.outcome)

        threads = [threading.Thread(target=play, args=(f"npc-{number}",)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
        assert outcomes == [Outcome.OK] * 80
