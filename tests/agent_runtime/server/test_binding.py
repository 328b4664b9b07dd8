"""The address is taken before anything is loaded: by one server, and so that clients are refused until it listens."""

import asyncio
import signal
import socket
import sys
import threading

import pytest

from agent_runtime.server import Client, ServerConfig, binding, serve, serve_in_background
from agent_runtime.server.binding import bound
from agent_runtime.server.errors import CannotBind, PortInUse
from tests.agent_runtime.server.fake_runtime import FakeRuntime

LOOPBACK = "127.0.0.1"


def port_of(bound_socket: socket.socket) -> int:
    return int(bound_socket.getsockname()[1])


def test_until_the_server_listens_clients_are_refused_and_nobody_else_gets_the_port() -> None:
    with bound(ServerConfig(port=0)) as (taken,):
        port = port_of(taken)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((LOOPBACK, port), timeout=5)
        with pytest.raises(PortInUse), bound(ServerConfig(port=port)):
            raise AssertionError("two servers that are still loading got the same port")
    with bound(ServerConfig(port=port)) as (free_again,):
        assert port_of(free_again) == port


def test_a_server_answers_on_the_sockets_that_it_was_given() -> None:
    addresses: list[str] = []

    def ready(url: str) -> None:
        addresses.append(url)
        signal.raise_signal(signal.SIGTERM)

    config = ServerConfig(port=0)
    with bound(config) as sockets:
        port = port_of(sockets[0])
        serve(FakeRuntime(), config, ready=ready, sockets=sockets)
    assert addresses == [f"ws://{LOOPBACK}:{port}"]


def test_no_answer_waits_until_the_client_has_said_that_it_got_the_one_before() -> None:
    """Nagle's algorithm: asyncio turns it off for connections of sockets that say what they are."""
    is_off: list[int] = []

    async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = writer.get_extra_info("socket")
        is_off.append(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    async def connect_once(taken: socket.socket) -> None:
        async with await asyncio.start_server(answered, sock=taken):
            reader, writer = await asyncio.open_connection(LOOPBACK, port_of(taken))
            await reader.read()
            writer.close()

    with bound(ServerConfig(port=0)) as (taken,):
        asyncio.run(connect_once(taken))
    assert is_off and all(is_off)


def test_a_port_with_a_server_is_refused_by_address_and_with_what_to_do() -> None:
    with serve_in_background(FakeRuntime(), ServerConfig(port=0)) as url:
        port = int(url.rpartition(":")[2])
        with pytest.raises(PortInUse) as refused, bound(ServerConfig(port=port)):
            raise AssertionError("it should have been refused")
    assert f"{LOOPBACK}:{port}" in str(refused.value)
    assert "Stop it" in str(refused.value) and "--port" in str(refused.value)


def test_a_port_whose_server_ended_with_clients_connected_is_free_at_once() -> None:
    with serve_in_background(FakeRuntime(), ServerConfig(port=0)) as url:
        client = Client(url)
        port = int(url.rpartition(":")[2])
    client.close()
    with serve_in_background(FakeRuntime(), ServerConfig(port=port)) as again:
        assert again == url


@pytest.mark.skipif(sys.platform == "win32", reason="there a port is free at once, and nothing to work around")
def test_of_two_servers_that_load_on_the_port_of_one_that_has_ended_the_second_is_refused() -> None:
    with bound(ServerConfig(port=0)) as (ended,):
        binding.allow_restart((ended,))
        ended.listen()
        port = port_of(ended)
        with socket.create_connection((LOOPBACK, port)):
            ended.accept()[0].close()  # the side that closes first keeps the port for a minute
    config = ServerConfig(port=port)
    with bound(config) as sockets:
        with pytest.raises(PortInUse), bound(config):
            raise AssertionError("two servers that are still loading got the same port")
        serve(FakeRuntime(), config, ready=lambda url: signal.raise_signal(signal.SIGTERM), sockets=sockets)


def test_a_port_that_was_taken_in_between_is_the_same_error() -> None:
    config = ServerConfig(port=0)
    with bound(config) as (taken,), socket.socket() as other:
        # As two servers of another program could have it: both bound, and the first one listens.
        for each in (taken, other):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind((LOOPBACK, port_of(taken)))
        other.listen()
        with pytest.raises(PortInUse):
            serve(FakeRuntime(), config, sockets=(taken,))


def test_an_address_of_another_machine_is_refused() -> None:
    config = ServerConfig(host="192.0.2.1", port=0)
    with pytest.raises(CannotBind, match="192.0.2.1:0: .*Give an address of this machine"), bound(config):
        raise AssertionError("it should have been refused")


def test_a_name_that_nobody_knows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(CannotBind, match="elsewhere:1: Name or service not known. "):
        with bound(ServerConfig(host="elsewhere", port=1)):
            raise AssertionError("it should have been refused")


def test_where_sharing_a_port_is_what_the_option_means_it_is_never_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binding, "_IS_REUSE_SAFE", False)  # as on Windows
    with bound(ServerConfig(port=0)) as (taken,):
        binding.allow_restart((taken,))
        assert taken.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) == 0
        with pytest.raises(PortInUse), bound(ServerConfig(port=port_of(taken))):
            raise AssertionError("it should have been refused")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere 127.0.0.2 is no address of the machine")
def test_every_address_of_a_name_is_held_with_one_port_and_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (LOOPBACK, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (LOOPBACK, 0)),  # named twice
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0)),  # not of this machine
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.2", 0)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with bound(ServerConfig(host="localhost", port=0)) as sockets:
        monkeypatch.undo()
        assert [each.getsockname()[0] for each in sockets] == [LOOPBACK, "127.0.0.2"]
        assert len({port_of(each) for each in sockets}) == 1
        port, welcomes = port_of(sockets[0]), []

        def visit() -> None:
            for host in (LOOPBACK, "127.0.0.2"):
                with Client(f"ws://{host}:{port}") as client:
                    welcomes.append(client.welcome)
            signal.raise_signal(signal.SIGTERM)

        visitor = threading.Thread(target=visit)
        serve(FakeRuntime(), ServerConfig(), ready=lambda url: visitor.start(), sockets=sockets)
        visitor.join()
    assert len(welcomes) == 2
