"""Starting and stopping a server within a process."""

import asyncio
import signal
import threading
from pathlib import Path

import pytest

from agent_runtime.server import Client, ServerConfig, serve, serve_in_background
from agent_runtime.server.errors import CannotBind, ConnectionLost, PortInUse, ServerError, TokenRequired
from agent_runtime.server.lifecycle import print_address, run_in_background
from agent_runtime.server.recorder import NoRecorder
from agent_runtime.turn import ActionOption
from prompts.errors import StateError
from tests.agent_runtime.server.fake_runtime import FakeRuntime


class Closing(NoRecorder):
    """A recorder that remembers whether it was closed."""

    is_closed = False

    def close(self) -> None:
        self.is_closed = True


def test_a_server_in_the_background_serves_and_closes_runtime_and_recorder() -> None:
    runtime, recorder = FakeRuntime(), Closing()
    with serve_in_background(runtime, ServerConfig(port=0), recorder=recorder) as url:
        with Client(url) as client:
            client.open_match("m1", "camp")
            client.put_state("m1", 1, state={})
            client.open_session("s", "m1")
            client.turn("s", 1, frame=1, observation="", actions=[ActionOption("x")], deadline_ms=60_000)
            client.turn("s", 2, frame=1, observation="", actions=[ActionOption("x")])
        assert runtime.closed_with is None
    assert runtime.closed_with is not None and 3 < runtime.closed_with <= 5
    assert recorder.is_closed
    (first, deadline), (_second, none) = runtime.times
    assert deadline == pytest.approx(first + 60) and none == float("inf")


def test_who_is_connected_when_the_server_stops_hears_why() -> None:
    with serve_in_background(FakeRuntime(), ServerConfig(port=0)) as url:
        client = Client(url)
    with pytest.raises(ConnectionLost) as lost:
        client.flush("m1")
    client.close()
    assert (lost.value.close_code, lost.value.reason) == (1001, "the server is stopping")


async def _ends_at_once(stop: asyncio.Event, ready: object) -> None:
    assert not stop.is_set() and ready is not None


def test_what_ends_before_it_has_an_address_is_not_waited_for() -> None:
    with pytest.raises(RuntimeError, match="nobody has ended before"), run_in_background("nobody", _ends_at_once):
        raise AssertionError("it should not have started")


def test_a_server_that_cannot_start_says_why_and_closes_what_it_was_given() -> None:
    runtime, recorder = FakeRuntime(), Closing()
    with pytest.raises(TokenRequired), serve_in_background(runtime, ServerConfig(host="0.0.0.0"), recorder=recorder):
        raise AssertionError("it should not have started")
    assert runtime.closed_with is not None and recorder.is_closed
    with serve_in_background(FakeRuntime(), ServerConfig(port=0)) as url:
        taken = ServerConfig(port=int(url.rpartition(":")[2]))
        with pytest.raises(PortInUse, match="0 for any free one"), serve_in_background(FakeRuntime(), taken):
            raise AssertionError("it should not have started")


def test_a_runtime_that_fails_to_close_does_not_keep_the_server_open(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(FakeRuntime):
        def close(self, drain_s: float) -> None:
            raise OSError("the disk is full")

    with serve_in_background(Failing(), ServerConfig(port=0)):
        pass
    assert "not closed properly" in caplog.text


@pytest.mark.parametrize(
    "error, code, words",
    [(StateError("/units", "NaN"), "bad_game", "/units"), (KeyError("x"), "server_fault", "KeyError")],
)
def test_a_server_that_cannot_describe_itself_says_why(error: Exception, code: str, words: str) -> None:
    class Broken(FakeRuntime):
        def describe(self) -> dict[str, object]:
            raise error

    with serve_in_background(Broken(), ServerConfig(port=0)) as url, pytest.raises(ServerError, match=words) as refused:
        Client(url)
    assert refused.value.code == code


def test_the_first_signal_stops_the_server_and_handlers_are_as_before() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    addresses: list[str] = []

    def ready(url: str) -> None:
        addresses.append(url)
        threading.Thread(target=signal.raise_signal, args=(signal.SIGTERM,)).start()

    runtime = FakeRuntime()
    serve(runtime, ServerConfig(port=0), ready=ready)
    assert addresses and runtime.closed_with is not None
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_where_the_loop_takes_no_signal_handlers_signals_still_stop_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(asyncio.SelectorEventLoop, "add_signal_handler", refuse)
    monkeypatch.setattr(asyncio.SelectorEventLoop, "remove_signal_handler", refuse)
    before = signal.getsignal(signal.SIGTERM)
    runtime = FakeRuntime()
    serve(runtime, ServerConfig(port=0), ready=lambda url: signal.raise_signal(signal.SIGTERM))
    assert runtime.closed_with is not None and signal.getsignal(signal.SIGTERM) == before


def test_the_address_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_address("ws://127.0.0.1:8765")
    assert capsys.readouterr().out == "Hotseat listens on ws://127.0.0.1:8765\n"


def test_an_ipv6_address_is_written_as_urls_have_it() -> None:
    try:
        with serve_in_background(FakeRuntime(), ServerConfig(host="::1", port=0)) as url:
            assert url.startswith("ws://[::1]:")
    except CannotBind:
        pytest.skip("this machine has no IPv6")


def test_only_what_talks_over_sockets_is_asynchronous() -> None:
    root = Path(__file__).parents[3]
    rooms = [root / name for name in ("agent_runtime", "game_adapters", "prompts", "kv_store")]
    files = [path for room in rooms for path in room.rglob("*.py") if "async def" in path.read_text(encoding="utf-8")]
    assert {path.parent.relative_to(root).as_posix() for path in files} == {
        "agent_runtime/server",
        "agent_runtime/replay/load",
        "agent_runtime/bench",
    }
    assert [path.name for path in files if path.parent.name == "bench"] == ["bare_socket.py"]
