"""Clients of a real server, as its tests use them."""

import json
from concurrent.futures import Future
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from agent_runtime.server import Client
from agent_runtime.server import server_messages as s2c
from agent_runtime.turn import ActionOption
from tests.agent_runtime.server.conftest import PATIENCE_S

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
