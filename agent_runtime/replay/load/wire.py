"""The sockets: questions out, answers in, and when each of both happened.

Everything runs on one event loop, made by `loop_for`: a thread a connection had the same median, but many waited for
the interpreter's lock. An answer's time is taken before anything is made of it. `async def` is in this module, in
`players` and in `play`; the rest of the room is plain.

What it adds to a turn, against a server that answers at once and says how long it took, on two cores with real-time
priority (1.2 KB out, 3 KB back; the whole way through both sockets and the other end's own work are in it): in the
closed loop 0.10 ms (median) and 0.26 ms (99 of 100), behind answers that took 20 ms 0.55 and 0.86 ms. In the open loop
at 170 turns a second messages are 0.21 ms late (median), 0.44 ms (99 of 100), which their latencies say.
Without that priority, four copies at 163 turns a second, the server's process on the same two cores: sending takes
0.10 ms (median) and 0.6 to 0.8 (99 of 100; 0.20 where the server has a core of its own, so most of it is the server's
time), hearing the answer 0.08 and 0.14, making a sample of it in spare time 0.30 and 0.5; together 0.8 to 1.0 ms for 99
of 100.
"""

import asyncio
import contextlib
import itertools
import selectors
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pydantic_core import from_json, to_json
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI, WebSocketException
from websockets.typing import Subprotocol

from agent_runtime.replay.load.errors import NoServer, NotHotseat, ServerLost, TokenRefused
from agent_runtime.replay.load.options import Server
from agent_runtime.server.access import is_loopback
from agent_runtime.server.errors import NoAnswer, Unauthorised
from agent_runtime.server.messages import PROTOCOL
from agent_runtime.server.server_messages import Welcome

# A loop that waits in select() wakes up within 0.1 ms of the time that was asked for; in epoll_wait(), within 1 ms.
# But select() takes no more than 1024 descriptors (on Windows 512 sockets), of which some are in use already.
_MOST_FOR_SELECT = 400
_HELLO_S = 15.0
_GOODBYE_S = 2.0


@dataclass(slots=True, eq=False)
class Question:
    """A message that was sent. Times are of `time.perf_counter()`: right before its frame went to the operating system,
    right behind it, at the first piece of free text, and at its `last` answer or an error, which is `answer` then.

    A latency begins before the frame goes. Its last byte is on its way some hundredths of a millisecond later, but
    whoever looks at the clock then may be kept waiting, and would leave out what the server did meanwhile.
    """

    kind: str
    last: str
    done: "asyncio.Future[None]"
    said_at: float
    sent_at: float = 0.0
    piece_at: float | None = None
    answered_at: float = 0.0
    answer: dict[str, Any] | None = None
    heard: Callable[[], None] | None = None

    def when_answered(self, heard: Callable[[], None]) -> None:
        """Have `heard` called with the last answer, before anything else happens; now, if it has come already."""
        if self.answer is None:
            self.heard = heard
        else:
            heard()

    @property
    def refusal(self) -> str | None:
        """Return the server's sentence if it refused the message."""
        if self.answer is None or self.answer.get("type") != "error":
            return None
        return str(self.answer.get("message"))


class Wire:
    """One connection. Any number of questions are under way on it; each is done when its last answer comes."""

    def __init__(self, socket: ClientConnection, url: str) -> None:
        self.lost: ServerLost | None = None
        self._socket = socket
        self._url = url
        self._ids = itertools.count(1)
        self._asked: dict[int, Question] = {}
        self._last_words = ""
        self._reader = asyncio.create_task(self._read())

    async def send(self, kind: str, last: str, frame: bytes) -> Question:
        """Send a message. Its `frame` is a JSON object without the brace before it: the id is put there.

        Returns when the last byte is with the operating system. Raises ServerLost.
        """
        message_id = next(self._ids)
        question = Question(kind, last, asyncio.get_running_loop().create_future(), time.perf_counter())
        if self.lost is not None:
            raise self.lost
        self._asked[message_id] = question
        try:
            await self._socket.send(b'{"id":%d,%s' % (message_id, frame), text=True)
        except ConnectionClosed as closed:
            raise self._lose(closed) from None
        question.sent_at = time.perf_counter()
        return question

    async def ask(self, kind: str, last: str, frame: bytes, answer_s: float) -> Question:
        """Send a message and wait for its last answer. Raises ServerLost and NoAnswer."""
        question = await self.send(kind, last, frame)
        await wait_for(question, answer_s)
        return question

    def give_up(self) -> ServerLost:
        """Ask nothing more of a server whose answers make no sense; return the error that says so."""
        return self._lose(None, "it sent something that is no answer")

    async def close(self) -> None:
        """Say goodbye."""
        await self._socket.close()
        self._reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reader

    async def _read(self) -> None:
        try:
            while True:
                frame = await self._socket.recv(decode=False)
                now = time.perf_counter()
                self._hear(from_json(frame), now)
        except ConnectionClosed as closed:
            self._lose(closed)
        except ValueError:
            self.give_up()
        except ServerLost:
            pass  # whoever heard the answer has given up

    def _hear(self, message: Any, now: float) -> None:
        if not isinstance(message, dict):
            return
        kind, message_id = message.get("type"), message.get("reply_to")
        if not isinstance(message_id, int) or (question := self._asked.get(message_id)) is None:
            if kind == "error":
                self._last_words = str(message.get("message"))
        elif kind == "turn.partial":
            question.piece_at = question.piece_at or now
        elif kind in (question.last, "error"):
            del self._asked[message_id]
            question.answered_at, question.answer = now, message
            try:
                if question.heard is not None:
                    question.heard()
            finally:
                if not question.done.done():
                    question.done.set_result(None)

    def _lose(self, closed: ConnectionClosed | None, why: str = "") -> ServerLost:
        """The connection is gone, and with it every answer that has not come."""
        if self.lost is None:
            said = closed.rcvd if closed is not None else None
            reason = why or self._last_words or (said.reason if said else "")
            self.lost = ServerLost(self._url, said.code if said else None, reason)
            for question in self._asked.values():
                if not question.done.done():
                    question.done.set_exception(self.lost)
                    question.done.exception()  # nobody need wait for it
            self._asked.clear()
        return self.lost


async def wait_for(question: Question, answer_s: float) -> None:
    """Wait for a question's last answer. Raises ServerLost and NoAnswer."""
    try:
        async with asyncio.timeout(answer_s):
            await question.done
    except TimeoutError:
        raise NoAnswer(question.kind, answer_s) from None


async def sleep_until(due: float) -> None:
    """Return when `time.perf_counter()` has passed `due`. Who is late already lets others do something all the same."""
    await asyncio.sleep(max(0.0, due - time.perf_counter()))


@contextlib.asynccontextmanager
async def opened_wire(server: Server) -> AsyncIterator[tuple[Wire, Welcome]]:
    """A connection that has said hello, closed at the end. Raises NoServer, NotHotseat, TokenRefused, ServerLost."""
    socket = await _connect(server)
    wire = Wire(socket, server.url)
    try:
        yield wire, await _hello(wire, server)
    finally:
        await wire.close()


async def _connect(server: Server) -> ClientConnection:
    host = urlsplit(server.url).hostname or ""
    try:
        return await connect(
            server.url,
            subprotocols=[Subprotocol(PROTOCOL)],
            additional_headers=None if server.token is None else {"Authorization": f"Bearer {server.token}"},
            compression=None,
            proxy=None if is_loopback(host) else True,
            max_size=None,
            write_limit=0,  # sent means handed over: nothing waits in a buffer of ours
            close_timeout=_GOODBYE_S,
        )
    except InvalidStatus as error:
        status = error.response.status_code
        if status == 401:
            raise TokenRefused(server.url, shown=server.token is not None) from None
        raise NotHotseat(server.url, f"it answers with HTTP status {status}") from None
    except InvalidURI:
        raise NoServer(server.url, "that is no address: it looks like ws://127.0.0.1:8765") from None
    except (InvalidHandshake, EOFError, WebSocketException) as error:
        raise NotHotseat(server.url, f"{str(error)[:200] or type(error).__name__}") from None
    except ConnectionRefusedError:
        raise NoServer(server.url, "the connection was refused") from None
    except TimeoutError:
        raise NoServer(server.url, "it does not answer in time") from None
    except OSError as error:
        raise NoServer(server.url, error.strerror or str(error) or type(error).__name__) from None


async def _hello(wire: Wire, server: Server) -> Welcome:
    if wire._socket.subprotocol != PROTOCOL:
        raise NotHotseat(server.url, f"it does not speak {PROTOCOL}")
    told = {"type": "hello", "protocol": PROTOCOL, "client": "hotseat replay"}
    try:
        question = await wire.ask("hello", "welcome", to_json(told)[1:], _HELLO_S)
        answer = question.answer or {}
        if answer.get("code") == Unauthorised.code:
            raise TokenRefused(server.url, shown=server.token is not None)
        if question.refusal is not None:
            raise NotHotseat(server.url, question.refusal)
        return Welcome.model_validate(answer)
    except (ServerLost, NoAnswer, ValueError) as error:
        why = error.reason if isinstance(error, ServerLost) else ""
        raise NotHotseat(server.url, why or "it does not answer hello as Hotseat does") from None


def loop_for(num_connections: int) -> asyncio.AbstractEventLoop:
    """Make an event loop that keeps time well."""
    if num_connections > _MOST_FOR_SELECT:
        return asyncio.new_event_loop()
    return asyncio.SelectorEventLoop(selectors.SelectSelector())
