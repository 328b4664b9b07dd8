"""What is brought is taken in once and in its order; what is held goes out with whatever comes, or by itself soon."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from websockets.sync.client import ClientConnection

from agent_runtime.server import ServerConfig, connection, serve_in_background
from agent_runtime.server.brought import Brought
from agent_runtime.server.connection import HELD_S
from tests.agent_runtime.server.conftest import PATIENCE_S
from tests.agent_runtime.server.desk import HELLO
from tests.agent_runtime.server.fake_runtime import FakeRuntime
from tests.agent_runtime.server.talking import hear, raw

# For how long nothing is heard where something would have come at once.
SILENCE_S = 0.2


class FakeShared:
    """Posts to a list, at a time that goes on with every look at it."""

    def __init__(self) -> None:
        self.posted: list[Callable[[], None]] = []
        self.post = self.posted.append
        self.loop = self
        self.now = 0.0

    def time(self) -> float:
        self.now += 1
        return self.now


def test_what_is_held_is_taken_in_with_what_comes_next_and_before_it() -> None:
    shared, seen = FakeShared(), list[tuple[str, float]]()
    brought = Brought(shared)  # type: ignore[arg-type]
    brought.hold(lambda at: seen.append(("held", at)))
    assert not shared.posted and len(brought) == 1
    brought.bring(lambda at: seen.append(("brought", at)))
    [call] = shared.posted
    call()
    call()
    assert seen == [("held", 1.0), ("brought", 2.0)] and len(brought) == 0


def test_what_one_of_them_makes_happen_lets_no_other_before_it_and_one_that_fails_holds_none_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen = list[str]()

    def first(at: float) -> None:
        brought.take_in()
        seen.append("first")
        raise RuntimeError("a defect")

    brought = Brought(FakeShared())  # type: ignore[arg-type]
    brought.bring(first)
    brought.bring(lambda at: seen.append("second"))
    brought.take_in()
    assert seen == ["first", "second"] and "a defect" in caplog.text


@contextmanager
def a_match(name: str, runtime: FakeRuntime) -> Iterator[ClientConnection]:
    with serve_in_background(runtime, ServerConfig(port=0)) as url, raw(url) as socket:
        socket.send(HELLO)
        socket.send(json.dumps({"type": "match.open", "match": name, "game": "camp"}))
        socket.send(json.dumps({"type": "session.open", "session": name, "match": name}))
        heard = [hear(socket)["type"] for _ in range(4)]
        assert heard == ["welcome", "match.opened", "session.opened", "session.ready"]
        yield socket


def refused_at_once(socket: ClientConnection) -> None:
    """Send what is refused on the loop's thread; what was sent before is with the server when the refusal comes."""
    nobody = {
        "type": "turn",
        "session": "nobody",
        "turn_id": 1,
        "frame": 1,
        "observation": "",
        "actions": [{"id": "x"}],
    }
    socket.send(json.dumps(nobody))


def release(runtime: FakeRuntime, name: str) -> None:
    runtime.put_block("anyone", "release", name, lambda ready: None)


def frame_and_turn(
    socket: ClientConnection, runtime: FakeRuntime, name: str, observation: str, *, after: float = 0, **more: Any
) -> None:
    """Send both, and let the frame be taken when the turn waits behind it, and that many seconds have passed."""
    state = {"until": "both are there"}
    socket.send(json.dumps({"type": "match.state", "match": name, "frame": 1, "state": state}))
    asked = {"session": name, "turn_id": 1, "frame": 1, "observation": observation, "actions": [{"id": "hold"}]}
    socket.send(json.dumps({"type": "turn", **asked, **more}))
    refused_at_once(socket)
    assert hear(socket)["code"] == "not_open"
    if after:
        with pytest.raises(TimeoutError):
            socket.recv(timeout=after)
    release(runtime, "both are there")


def types(socket: ClientConnection, count: int) -> list[str]:
    return [hear(socket)["type"] for _ in range(count)]


@pytest.fixture
def held_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HELD_S", 10 * PATIENCE_S)


@pytest.mark.usefixtures("held_for_long")
@pytest.mark.parametrize(
    ("observation", "more", "ends"),
    [
        ("begin now", {}, ["turn.result"]),
        ("begin fail", {}, ["error"]),
        ("say two words", {}, ["turn.partial", "turn.partial", "turn.result"]),
        ("begin late", {"deadline_ms": 300}, ["turn.result"]),
        ("deaf late", {"deadline_ms": 300}, ["turn.result"]),
    ],
)
def test_an_answer_to_a_frame_is_held_for_the_turn_behind_it_and_comes_before_all_that_is_said_of_that(
    observation: str, more: dict[str, Any], ends: list[str]
) -> None:
    runtime = FakeRuntime()
    word, _, rest = observation.partition(" ")
    with a_match("m", runtime) as socket:
        frame_and_turn(socket, runtime, "m", observation, **more)
        if word == "begin" and not more:
            with pytest.raises(TimeoutError):
                socket.recv(timeout=SILENCE_S)
            release(runtime, rest)
        assert types(socket, 1 + len(ends)) == ["match.applied", *ends]
        release(runtime, rest)


@pytest.mark.usefixtures("held_for_long")
def test_it_comes_before_the_answer_to_whatever_is_sent_meanwhile() -> None:
    runtime = FakeRuntime()
    with a_match("m", runtime) as socket:
        frame_and_turn(socket, runtime, "m", "begin now")
        with pytest.raises(TimeoutError):
            socket.recv(timeout=SILENCE_S)
        refused_at_once(socket)
        assert types(socket, 2) == ["match.applied", "error"]
        release(runtime, "now")
        assert types(socket, 1) == ["turn.result"]


@pytest.mark.usefixtures("held_for_long")
def test_it_comes_before_the_end_of_a_turn_that_another_connection_asked_for() -> None:
    runtime = FakeRuntime()
    with serve_in_background(runtime, ServerConfig(port=0)) as url, raw(url) as socket, raw(url) as other:
        for each in (other, socket):
            each.send(HELLO)
            each.send(json.dumps({"type": "match.open", "match": "m", "game": "camp"}))
            each.send(json.dumps({"type": "session.open", "session": "m", "match": "m"}))
            assert types(each, 4)[-1] == "session.ready"
        other.send(json.dumps({"type": "match.state", "match": "m", "frame": 0, "state": {}}))
        assert types(other, 1) == ["match.applied"]
        asked = {"session": "m", "turn_id": 1, "frame": 0, "observation": "deaf shared", "actions": [{"id": "hold"}]}
        for each in (other, socket):
            each.send(json.dumps({"type": "turn", **asked}))
        frame_and_turn(socket, runtime, "m", "begin later", turn_id=2)
        with pytest.raises(TimeoutError):
            socket.recv(timeout=SILENCE_S)
        release(runtime, "shared")
        assert types(socket, 2) == ["match.applied", "turn.result"] and types(other, 1) == ["turn.result"]
        release(runtime, "later")
        assert types(socket, 1) == ["turn.result"]


@pytest.mark.usefixtures("held_for_long")
def test_a_server_that_ends_gives_it_before_it_says_goodbye() -> None:
    runtime = FakeRuntime()
    with raw_of_ending(runtime) as (socket, end):
        frame_and_turn(socket, runtime, "m", "begin never")
        with pytest.raises(TimeoutError):
            socket.recv(timeout=SILENCE_S)
        end()
        assert types(socket, 1) == ["match.applied"]
        release(runtime, "never")
        assert types(socket, 1) == ["turn.result"]


def test_a_server_that_ends_gives_one_that_no_turn_is_behind_any_more() -> None:
    runtime = FakeRuntime()
    with raw_of_ending(runtime) as (socket, end):
        state = {"until": "the turn is late"}
        socket.send(json.dumps({"type": "match.state", "match": "m", "frame": 1, "state": state}))
        asked = {"session": "m", "turn_id": 1, "frame": 1, "observation": "", "actions": [{"id": "hold"}]}
        socket.send(json.dumps({"type": "turn", **asked, "deadline_ms": 1}))
        assert types(socket, 1) == ["turn.result"]
        end()
        with pytest.raises(TimeoutError):
            socket.recv(timeout=SILENCE_S)
        release(runtime, "the turn is late")
        assert types(socket, 1) == ["match.applied"]


@contextmanager
def raw_of_ending(runtime: FakeRuntime) -> Iterator[tuple[ClientConnection, Callable[[], None]]]:
    """A connection of a match, and what begins the end of its server."""
    serving = serve_in_background(runtime, ServerConfig(port=0))
    url = serving.__enter__()
    ending = threading.Thread(target=serving.__exit__, args=(None, None, None))
    with raw(url) as socket:
        socket.send(HELLO)
        socket.send(json.dumps({"type": "match.open", "match": "m", "game": "camp"}))
        socket.send(json.dumps({"type": "session.open", "session": "m", "match": "m"}))
        assert types(socket, 4)[-1] == "session.ready"
        yield socket, ending.start
    ending.join(PATIENCE_S)


@pytest.mark.parametrize("observation", ["begin never", "deaf never"])
def test_it_is_not_held_for_longer_than_a_moment_however_long_its_frame_took(observation: str) -> None:
    runtime = FakeRuntime()
    with a_match("m", runtime) as socket:
        frame_and_turn(socket, runtime, "m", observation, after=SILENCE_S)
        assert types(socket, 1) == ["match.applied"]
        release(runtime, "never")
        assert types(socket, 1) == ["turn.result"]
    assert HELD_S < SILENCE_S


def test_a_frame_behind_a_frame_and_a_turn_that_is_not_begun_any_more_hold_it_no_longer_either() -> None:
    runtime = FakeRuntime()
    with a_match("m", runtime) as socket:
        for frame in (1, 2):
            socket.send(json.dumps({"type": "match.state", "match": "m", "frame": frame, "state": {}}))
        assert [hear(socket)["frame"] for _ in range(2)] == [1, 2]
    with a_match("n", runtime) as socket:
        state = {"until": "the turn is late"}
        socket.send(json.dumps({"type": "match.state", "match": "n", "frame": 1, "state": state}))
        asked = {"session": "n", "turn_id": 1, "frame": 1, "observation": "", "actions": [{"id": "hold"}]}
        socket.send(json.dumps({"type": "turn", **asked, "deadline_ms": 1}))
        assert types(socket, 1) == ["turn.result"]
        release(runtime, "the turn is late")
        assert types(socket, 1) == ["match.applied"]
