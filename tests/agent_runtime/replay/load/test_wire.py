"""Connections that cannot be had, and what is said of them; and answers that find who asked."""

import asyncio
import http.server
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from websockets.sync.server import ServerConnection, serve

from agent_runtime.replay.load.errors import LoadError, NoServer, NotHotseat, ServerLost, TokenRefused
from agent_runtime.replay.load.options import Server
from agent_runtime.replay.load.wire import Question, Wire, loop_for, opened_wire
from agent_runtime.server import ServerConfig, serve_in_background
from agent_runtime.server.server_messages import Welcome
from tests.agent_runtime.replay.load.stub import PATIENCE_S, Message, Stub, running
from tests.agent_runtime.server.fake_runtime import FakeRuntime

TOKEN = "a token of some length"


def greet(server: Server) -> Welcome:
    async def main() -> Welcome:
        async with opened_wire(server) as (_, welcome):
            return welcome

    with asyncio.Runner(loop_factory=lambda: loop_for(1)) as runner:
        return runner.run(main())


def refusal(url: str, token: str | None = None) -> LoadError:
    with pytest.raises(LoadError) as caught:
        greet(Server(url, token))
    assert url in str(caught.value)
    return caught.value


@contextmanager
def other_websocket(handle: Callable[[ServerConnection], None], **options: object) -> Iterator[str]:
    """A WebSocket server that is not Hotseat's."""
    with serve(handle, "127.0.0.1", 0, **options) as server:  # type: ignore[arg-type]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()
        thread.join(PATIENCE_S)


def test_an_address_where_nobody_listens_is_no_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    error = refusal(f"ws://127.0.0.1:{port}")
    assert isinstance(error, NoServer) and "hotseat serve" in str(error)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8765", "127.0.0.1:8765", "ws://", "nonsense"])
def test_what_is_no_address_is_told_what_one_looks_like(url: str) -> None:
    error = refusal(url)
    assert isinstance(error, NoServer) and "ws://127.0.0.1:8765" in str(error)


@pytest.mark.parametrize(
    ("version", "why"),
    [("HTTP/1.1", "it answers with HTTP status 404"), ("HTTP/1.0", "did not receive a valid HTTP response")],
)
def test_a_web_server_is_no_hotseat_server(version: str, why: str) -> None:
    class Quiet(http.server.BaseHTTPRequestHandler):
        protocol_version = version

        def do_GET(self) -> None:
            self.send_error(404)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        error = refusal(f"ws://127.0.0.1:{server.server_port}")
        server.shutdown()
        thread.join(PATIENCE_S)
    assert isinstance(error, NotHotseat) and error.why == why


def test_a_server_of_something_else_altogether_is_no_hotseat_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def talk() -> None:
            peer, _ = listening.accept()
            with peer:
                peer.recv(4096)
                peer.sendall(b"220 mail.example.org ESMTP\r\n")

        thread = threading.Thread(target=talk, daemon=True)
        thread.start()
        error = refusal(f"ws://127.0.0.1:{listening.getsockname()[1]}")
        thread.join(PATIENCE_S)
    assert isinstance(error, NotHotseat)


def test_a_websocket_that_speaks_another_protocol_is_no_hotseat_server() -> None:
    with other_websocket(lambda peer: None) as url:
        error = refusal(url)
    assert isinstance(error, NotHotseat) and error.why == "it does not speak hotseat.v1"


@pytest.mark.parametrize("said", ["hello yourself", '{"type":"welcome","reply_to":1}', '{"type":"error","reply_to":1}'])
def test_a_welcome_that_is_none_is_no_hotseat_server(said: str) -> None:
    def handle(peer: ServerConnection) -> None:
        peer.recv(PATIENCE_S)
        peer.send(said)

    with other_websocket(handle, subprotocols=["hotseat.v1"]) as url:
        assert isinstance(refusal(url), NotHotseat)


def test_a_missing_and_a_wrong_token_are_told_apart() -> None:
    with serve_in_background(FakeRuntime(), ServerConfig(port=0, token=TOKEN)) as url:
        missing, wrong = refusal(url), refusal(url, "something else entirely")
        assert isinstance(missing, TokenRefused) and "wants a token: --token" in str(missing)
        assert isinstance(wrong, TokenRefused) and "another token than the one that was shown" in str(wrong)
        assert "something else" not in str(wrong)
        assert greet(Server(url, TOKEN)).server.startswith("hotseat")


def test_whoever_wants_to_hear_an_answer_hears_it_once_however_late_he_says_so() -> None:
    async def main() -> list[str]:
        heard: list[str] = []
        question = Question("turn", "turn.result", asyncio.get_running_loop().create_future(), 0.0)
        question.when_answered(lambda: heard.append("then"))
        assert heard == [] and question.heard is not None
        question.heard()
        question.answer = {"type": "turn.result"}
        question.when_answered(lambda: heard.append("at once"))
        return heard

    assert asyncio.run(main()) == ["then", "at once"]


def test_answers_find_who_asked_in_whatever_order_they_come() -> None:
    def answers(stub: Stub, message: Message) -> list[Message]:
        if len(stub.heard) < 3:
            return []
        return [stub.answer(each) for each in reversed(stub.heard)]

    async def ask(wire: Wire, match: str) -> str:
        question = await wire.ask(
            "match.close", "match.closed", b'"match":"%s","type":"match.close"}' % match.encode(), 9
        )
        assert question.answer is not None
        assert question.said_at <= question.sent_at <= question.answered_at
        return str(question.answer["match"])

    async def main(url: str) -> list[str]:
        async with opened_wire(Server(url)) as (wire, _):
            return await asyncio.gather(*(ask(wire, name) for name in ("a", "b", "c")))

    with running(Stub(answers=answers)) as stub:
        assert asyncio.run(main(stub.url)) == ["a", "b", "c"]


def test_a_lost_connection_is_told_to_everybody_who_waits_and_to_those_who_ask_later() -> None:
    def answers(stub: Stub, message: Message) -> list[Message] | None:
        return [] if len(stub.heard) < 2 else None

    async def main(url: str) -> list[object]:
        async with opened_wire(Server(url)) as (wire, _):
            asked = [wire.ask("turn", "turn.result", b'"type":"turn"}', PATIENCE_S) for _ in range(2)]
            waiting = await asyncio.gather(*asked, return_exceptions=True)
            late = await asyncio.gather(wire.send("turn", "turn.result", b'"type":"turn"}'), return_exceptions=True)
            return [*waiting, *late]

    with running(Stub(answers=answers)) as stub:
        errors = asyncio.run(main(stub.url))
    assert len(errors) == 3 and len({id(error) for error in errors}) == 1
    assert isinstance(errors[0], ServerLost) and errors[0].close_code == 1011
    assert "with code 1011: the stub has had enough" in str(errors[0])


def test_many_connections_are_waited_for_in_another_way_than_few() -> None:
    few, many = loop_for(1), loop_for(5000)
    try:
        assert type(few._selector).__name__ == "SelectSelector"  # type: ignore[attr-defined]
        assert type(many._selector).__name__ != "SelectSelector"  # type: ignore[attr-defined]
    finally:
        few.close()
        many.close()
