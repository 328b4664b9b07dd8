"""A WebSocket with nothing behind it: what the `websockets` library, the kernel and two processes woken take of a turn.

The client is the program that plays the match (`socket_game.py`), in a second process. The server listens with the
options of the runtime's, in this process and on a thread of its own as that does; it reads a frame and a turn, looks
into neither, and sends one text back.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from agent_runtime.bench.game_process import GameProcess, game_process
from agent_runtime.server import ServerConfig
from agent_runtime.server import server_messages as s2c
from agent_runtime.server.binding import bound
from agent_runtime.server.lifecycle import run_in_background
from agent_runtime.server.shell import listen, url_of


class _Answering:
    """The server. `answer` is set by the thread that asks, before the client sends anything."""

    answer = ""

    async def run(self, stop: asyncio.Event, ready: Callable[[str], None]) -> None:
        """Serve on a free port until `stop` is set; `ready` is told the address. Raises CannotBind."""
        config = ServerConfig(port=0)
        with bound(config) as sockets:
            (listening,) = await listen(self._handle, sockets, config)
            async with listening:
                ready(url_of(listening))
                await stop.wait()

    async def _handle(self, socket: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            while True:
                await socket.recv()  # the frame
                await socket.recv()  # the turn
                await socket.send(self.answer)


class BareSocket:
    """Texts of turns, exchanged with nobody who reads them."""

    def __init__(self, game: GameProcess, server: _Answering) -> None:
        self._game = game
        self._server = server

    def exchange(self, frame: str, turn: str, result: s2c.TurnResult) -> float:
        """Return the milliseconds from the frame's first byte until the result was read. Raises TurnFailed."""
        self._server.answer = result.encode()
        took_ms, _ = self._game.ask([frame, turn], result.type)
        return took_ms


@contextmanager
def bare_socket() -> Iterator[BareSocket]:
    """Start the server on a free port of this machine, and a game there. Leaving ends both."""
    server = _Answering()
    with run_in_background("hotseat-bare-socket", server.run) as url, game_process(url) as game:
        yield BareSocket(game, server)
