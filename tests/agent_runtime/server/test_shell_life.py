"""A server on real sockets begins and ends, and what it recorded is there."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agent_runtime.replay.recording_format import read_recording
from agent_runtime.server.errors import ConnectionLost
from agent_runtime.turn import Outcome
from tests.agent_runtime.server.conftest import PATIENCE_S, ROOT, StartServer
from tests.agent_runtime.server.desk import HELLO
from tests.agent_runtime.server.talking import ACTIONS, ask, hear, open_client, raw, set_up, wait_until_closed


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
