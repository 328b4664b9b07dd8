"""The server: listens, and runs one protocol machine per connection. Thin: the rules are in `protocol`."""

import asyncio
import itertools
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TypeVar

from websockets.asyncio.server import Server as Listening
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import NegotiationError
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from agent_runtime.server.access import check_start, refusal_of, shows_token
from agent_runtime.server.answers import error_message
from agent_runtime.server.binding import allow_restart, bound, refusal
from agent_runtime.server.config import ServerConfig
from agent_runtime.server.connection import Connection
from agent_runtime.server.errors import StartError, address
from agent_runtime.server.faults import as_answer
from agent_runtime.server.messages import PROTOCOL
from agent_runtime.server.protocol import Machine
from agent_runtime.server.recorder import NoRecorder, Recorder
from agent_runtime.server.running_turns import RunningTurns
from agent_runtime.server.runtime import Runtime
from agent_runtime.server.server_messages import GameInfo, ModelInfo, Welcome
from agent_runtime.server.shared import Shared
from agent_runtime.server.workers import Workers
from agent_runtime.turn import Outcome, TurnResult
from agent_runtime.version import hotseat_version

log = logging.getLogger(__name__)

T = TypeVar("T")

GOING_AWAY = 1001
INTERNAL_ERROR = 1011
# Frames up to this many times the limit are refused with a sentence; larger ones end the connection with 1009.
HARD_LIMIT_FACTOR = 4
# Of the time to stop, this share is for turns and calls under way; the rest is the runtime's, to write to disk.
SHARE_FOR_TURNS = 0.3


async def run_server(
    runtime: Runtime,
    config: ServerConfig,
    *,
    stop: asyncio.Event,
    ready: Callable[[str], None],
    recorder: Recorder | None = None,
    sockets: Sequence[socket.socket] | None = None,
) -> None:
    """Serve until `stop` is set, then drain. `ready` is told the address. The runtime is closed in any case.

    `sockets` are those of `bound(config)`; without them the address is bound here. Raises StartError when the server
    cannot be started.
    """
    shared = Shared(
        config=config,
        runtime=runtime,
        recorder=recorder or NoRecorder(),
        workers=Workers("hotseat-call"),
        turns=RunningTurns(config.running_turns),
        loop=asyncio.get_running_loop(),
    )
    shell = _Shell(shared)
    with ExitStack() as held:
        try:
            try:
                check_start(config)
                listening = await shell.open_to_clients(
                    held.enter_context(bound(config)) if sockets is None else sockets
                )
            except StartError:
                await shell.close_runtime(config.drain_s)
                raise
            ready(url_of(listening[0]))
            await stop.wait()
            await shell.drain(listening)
        finally:
            await shell.close_recorder()
            shared.workers.close()


async def listen(
    handle: Callable[[ServerConnection], Awaitable[None]],
    sockets: Sequence[socket.socket],
    config: ServerConfig,
    process_request: Callable[[ServerConnection, Request], Response | None] | None = None,
) -> list[Listening]:
    """Have `handle` answer the clients of every bound socket from now on. Raises CannotBind, PortInUse."""
    # websockets shows whole headers, and with them tokens, to a logger that is enabled for DEBUG.
    discreet = logging.Logger(f"{__name__}.websockets", logging.INFO)
    discreet.parent = log
    allow_restart(sockets)
    try:
        return [
            await serve(
                handle,
                sock=each,
                subprotocols=[Subprotocol(PROTOCOL)],
                select_subprotocol=_select_subprotocol,
                process_request=process_request,
                compression=None,  # costs more time than loopback or a local network saves
                max_size=HARD_LIMIT_FACTOR * config.limits.message_bytes,
                ping_interval=config.ping_s,
                ping_timeout=config.ping_s,
                close_timeout=config.close_s,
                logger=discreet,
            )
            for each in sockets
        ]
    except OSError as error:
        raise refusal(error, config) from error


def url_of(listening: Listening) -> str:
    """Return where clients connect."""
    host, port = listening.sockets[0].getsockname()[:2]
    return f"ws://{address(host, port)}"


class _Shell:
    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._connections: set[Connection] = set()
        self._numbers = itertools.count(1)
        self._is_draining = False

    async def open_to_clients(self, sockets: Sequence[socket.socket]) -> list[Listening]:
        """Answer clients from now on, on every socket."""
        return await listen(self._handle, sockets, self._shared.config, self._process_request)

    async def drain(self, listening: Sequence[Listening]) -> None:
        """Stop listening, cancel turns, let calls under way end, close the runtime, say goodbye: all within drain_s."""
        shared, loop = self._shared, self._shared.loop
        end = loop.time() + shared.config.drain_s
        self._is_draining = True
        for each in listening:
            each.close(close_connections=False)
        for connection in self._connections:
            connection.drain()
        for turn in shared.turns:
            turn.cancel()
        last_call = loop.time() + shared.config.drain_s * SHARE_FOR_TURNS
        while loop.time() < last_call and (shared.turns or not all(each.is_idle for each in self._connections)):
            await asyncio.sleep(0.005)
        for turn in shared.turns:
            session, turn_id = turn.key
            shared.turns.settle(
                turn, TurnResult(session, turn_id, Outcome.CANCELLED, message="The server is stopping.")
            )
        open_sockets = [each for server in listening for each in server.connections]
        goodbyes = [each.close(GOING_AWAY, "the server is stopping") for each in open_sockets]
        left_s = max(0.1, end - loop.time() - 0.2)
        try:
            async with asyncio.timeout_at(end):
                await asyncio.gather(self.close_runtime(left_s), *goodbyes, return_exceptions=True)
                await asyncio.gather(*(each.wait_closed() for each in listening))
        except TimeoutError:
            log.error("stopping took longer than %g s; what was not on disk is computed again", shared.config.drain_s)

    async def close_runtime(self, drain_s: float) -> None:
        """Let the runtime write what it has to write."""
        try:
            await self._in_thread(partial(self._shared.runtime.close, drain_s))
        except Exception:
            log.exception("the runtime was not closed properly; what was not on disk is computed again")

    async def close_recorder(self) -> None:
        """Let the recorder write what it has to write."""
        try:
            await self._in_thread(self._shared.recorder.close)
        except Exception:
            log.exception("the recorder was not closed properly")

    async def _handle(self, socket: ServerConnection) -> None:
        shared = self._shared
        assert socket.request is not None
        is_known = shows_token(_only(socket.request.headers, "Authorization"), shared.config)
        try:
            welcome = await self._in_thread(self._welcome)
        except Exception as error:  # a studio's game folder may be broken
            refusal = as_answer(error)
            await socket.send(error_message(refusal, {}).encode())
            await socket.close(INTERNAL_ERROR, refusal.code)
            return
        machine = Machine(
            welcome,
            token=None if is_known else shared.config.token,
            hello_by=shared.loop.time() + shared.config.hello_s,
        )
        connection = Connection(f"c{next(self._numbers)}", socket, machine, shared)
        if self._is_draining:
            connection.drain()
        self._connections.add(connection)
        try:
            await connection.serve()
        finally:
            self._connections.discard(connection)

    def _process_request(self, socket: ServerConnection, request: Request) -> Response | None:
        headers = request.headers
        refusal = refusal_of(
            request.path, _only(headers, "Origin"), _only(headers, "Authorization"), self._shared.config
        )
        return None if refusal is None else socket.respond(*refusal)

    def _welcome(self) -> Welcome:
        """What hello is answered with. On a worker's thread."""
        known = self._shared.runtime.describe()
        return Welcome(
            protocol=PROTOCOL,
            server=f"hotseat {hotseat_version()}",
            limits=self._shared.config.limits,
            models=tuple(ModelInfo.model_validate(each) for each in known["models"]),
            games=tuple(GameInfo.model_validate(each) for each in known["games"]),
        )

    async def _in_thread(self, call: Callable[[], T]) -> T:
        shared = self._shared
        future: asyncio.Future[T] = shared.loop.create_future()

        def settle(result: T | None, error: BaseException | None) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)  # type: ignore[arg-type]  # without an error there is a result

        def job() -> None:
            try:
                result = call()
            except Exception as error:
                shared.post(partial(settle, None, error))
            else:
                shared.post(partial(settle, result, None))

        shared.workers.submit(job)
        return await future


def _select_subprotocol(socket: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """A client that offers none may speak: its hello names the protocol."""
    if not offered:
        return None
    if PROTOCOL in offered:
        return Subprotocol(PROTOCOL)
    raise NegotiationError(f"this server speaks the sub-protocol {PROTOCOL}")


def _only(headers: Headers, name: str) -> str | None:
    """A header's value. Several of one name are joined, which makes them a value that nothing allows."""
    return ", ".join(headers.get_all(name)) or None
