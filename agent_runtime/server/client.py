"""A client for games written in Python: synchronous, typed, for any number of matches and sessions on one connection.

    with Client("ws://127.0.0.1:8765") as client:
        client.open_match("m1", "camp")
        client.put_state("m1", 1, state={...})
        client.open_session("guard-7", "m1", persona="guard")
        result = client.turn("guard-7", 1, frame=1, observation="A noise.", actions=[ActionOption("hold")])
        client.apply_turn("guard-7", 1, ok=True)

Answers are what the server sent, as the models of `server_messages`. A refusal raises ServerError, a cut connection
ConnectionLost, an answer that does not come in time NoAnswer: it is dropped when it comes, never taken for another.
Methods may be called from several threads; with `begin_turn` one thread asks many sessions at once.
"""

import itertools
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from agent_runtime.server import server_messages as s2c
from agent_runtime.server.access import is_loopback
from agent_runtime.server.answers import error_message
from agent_runtime.server.client_messages import MessageId, OnDeadline
from agent_runtime.server.errors import (
    BadField,
    ConnectionLost,
    MessageError,
    MessageTooBig,
    NoAnswer,
    NotOpen,
    ServerError,
)
from agent_runtime.server.messages import PROTOCOL, client_message, read_json, server_message
from agent_runtime.server.plain_json import not_json
from agent_runtime.turn import Action, ActionOption, Decide, Json, Mode

log = logging.getLogger(__name__)

# What WebSocket calls a connection that ended without a close frame.
ABNORMAL = 1006

Answer = TypeVar("Answer", bound=s2c.ServerMessage)


class Client:
    """One connection. `timeout_s` bounds every wait for an answer.

    `unmatched` holds the last errors that named no message of ours, `welcome` what the server told about itself.
    """

    def __init__(self, url: str, *, token: str | None = None, name: str | None = None, timeout_s: float = 60.0) -> None:
        self._timeout_s = timeout_s
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._waiting: dict[MessageId, Future[Any]] = {}
        self._readies: dict[str, Future[s2c.SessionReady]] = {}
        self._hear_partial: dict[tuple[str, int], Callable[[s2c.TurnPartial], None]] = {}
        self._lost: ConnectionLost | None = None
        self._limit_bytes: int | None = None
        self.unmatched: deque[s2c.Error] = deque(maxlen=64)
        self._end = ExitStack()
        self._socket = self._end.enter_context(
            connect(
                url,
                subprotocols=[Subprotocol(PROTOCOL)],
                additional_headers=None if token is None else {"Authorization": f"Bearer {token}"},
                compression=None,
                proxy=None if is_loopback(urlsplit(url).hostname or "") else True,
                max_size=None,
            )
        )
        self._reader = threading.Thread(target=self._read, name="hotseat-client", daemon=True)
        self._reader.start()
        try:
            self.welcome = self._ask(s2c.Welcome, "hello", protocol=PROTOCOL, client=name)
        except BaseException as error:
            self.close()
            if isinstance(error, ConnectionLost) and self.unmatched:  # the server said why, before it heard us
                raise _refused(self.unmatched[-1]) from None
            raise
        self._limit_bytes = self.welcome.limits.message_bytes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Say goodbye. Matches and sessions stay open on the server."""
        self._end.close()
        if self._reader is not threading.current_thread():
            self._reader.join(self._timeout_s)

    def open_match(
        self,
        match: str,
        game: str,
        *,
        model: str | None = None,
        mode: Mode | Literal["auto"] = "auto",
        cache_salt: str | None = None,
    ) -> s2c.MatchOpened:
        """Open a match, or take it up again. It shares blocks only with matches of equal `cache_salt`."""
        return self._ask(
            s2c.MatchOpened,
            "match.open",
            match=match,
            game=game,
            model=model,
            mode=str(mode),
            cache_salt=cache_salt,
        )

    def put_state(
        self,
        match: str,
        frame: int,
        *,
        state: Json = None,
        patch: Sequence[Mapping[str, Json]] | None = None,
        base: int | None = None,
    ) -> s2c.MatchApplied:
        """Send a frame: the whole state, or an RFC 6902 patch of the frame before (`base`, if it is to be checked)."""
        operations = None if patch is None else [dict(each) for each in patch]
        return self._ask(
            s2c.MatchApplied, "match.state", match=match, frame=frame, state=state, patch=operations, base=base
        )

    def close_match(self, match: str) -> s2c.MatchClosed:
        """End a match and its sessions."""
        return self._ask(s2c.MatchClosed, "match.close", match=match)

    def open_session(
        self,
        session: str,
        match: str,
        *,
        sight: Sequence[str] = (),
        persona: str | None = None,
        persona_text: str | None = None,
        history_turns: int | None = None,
        on_deadline: OnDeadline = "timeout",
    ) -> s2c.SessionOpened:
        """Open a session, or take it up again. It takes turns at once; `wait_ready` tells when it is warm."""
        self._readies[session] = Future()
        return self._ask(
            s2c.SessionOpened,
            "session.open",
            session=session,
            match=match,
            sight=tuple(sight),
            persona=persona,
            persona_text=persona_text,
            history_turns=history_turns,
            on_deadline=on_deadline,
        )

    def wait_ready(self, session: str) -> s2c.SessionReady:
        """Wait until everything the session saw when it was opened is encoded. Raises NotOpen if it was not, here."""
        if (ready := self._readies.get(session)) is None:
            raise NotOpen("session", session)
        return self._wait(ready, f"session.open {session}")

    def put_block(self, session: str, name: str, text: str | None) -> Future[s2c.BlockReady]:
        """Add, replace or (None) remove a private block; the future is done when it is encoded."""
        return self._begin(s2c.BlockReady, "block.put", session=session, name=name, text=text)

    def close_session(self, session: str) -> s2c.SessionClosed:
        """End a session."""
        return self._ask(s2c.SessionClosed, "session.close", session=session)

    def turn(
        self,
        session: str,
        turn_id: int,
        *,
        frame: int,
        observation: str,
        actions: Sequence[ActionOption],
        decide: Decide | None = None,
        deadline_ms: float | None = None,
        on_partial: Callable[[s2c.TurnPartial], None] | None = None,
    ) -> s2c.TurnResult:
        """Ask for an action and wait for it. Only the outcomes ok and truncated have one."""
        future = self.begin_turn(
            session,
            turn_id,
            frame=frame,
            observation=observation,
            actions=actions,
            decide=decide,
            deadline_ms=deadline_ms,
            on_partial=on_partial,
        )
        return self._wait(future, f"turn {turn_id} of {session}")

    def begin_turn(
        self,
        session: str,
        turn_id: int,
        *,
        frame: int,
        observation: str,
        actions: Sequence[ActionOption],
        decide: Decide | None = None,
        deadline_ms: float | None = None,
        on_partial: Callable[[s2c.TurnPartial], None] | None = None,
    ) -> Future[s2c.TurnResult]:
        """Ask for an action. `on_partial` is called on the reading thread and must not wait for this client."""
        for place, each in enumerate(actions):
            if not isinstance(each, ActionOption):
                raise BadField("turn", f"actions.{place}", f"{each!r} is no action: write ActionOption({each!r})")
        if on_partial is not None:
            self._hear_partial[session, turn_id] = on_partial
        how = decide or Decide()
        return self._begin(
            s2c.TurnResult,
            "turn",
            session=session,
            turn_id=turn_id,
            frame=frame,
            observation=observation,
            actions=[
                {"id": each.id, "text": each.text, "schema": None if each.schema is None else dict(each.schema)}
                for each in actions
            ],
            decide={
                "how": how.how,
                "temperature": how.temperature,
                "seed": how.seed,
                "think_tokens": how.think_tokens,
                "say_tokens": how.say_tokens,
            },
            deadline_ms=deadline_ms,
        )

    def cancel_turn(self, session: str, turn_id: int) -> s2c.TurnNoted:
        """Stop deciding a turn; its own future then has the outcome cancelled, unless it was decided already."""
        return self._ask(s2c.TurnNoted, "turn.cancel", session=session, turn_id=turn_id)

    def apply_turn(
        self,
        session: str,
        turn_id: int,
        *,
        ok: bool,
        message: str | None = None,
        reward: float | None = None,
        action: Action | None = None,
    ) -> s2c.TurnNoted:
        """Tell what became of a turn's action. `action`: what was done, where that is not what the agent chose."""
        done = None if action is None else {"id": action.id, "args": action.args}
        return self._ask(
            s2c.TurnNoted,
            "turn.applied",
            session=session,
            turn_id=turn_id,
            ok=ok,
            message=message,
            reward=reward,
            action=done,
        )

    def flush(self, match: str) -> s2c.Flushed:
        """Wait until everything the match has asked to keep is on the server's disk."""
        return self._ask(s2c.Flushed, "flush", match=match, timeout_ms=self._timeout_s * 1000)

    def _ask(self, kind: type[Answer], type_: str, **fields: Json) -> Answer:
        return self._wait(self._begin(kind, type_, **fields), type_)

    def _begin(self, kind: type[Answer], type_: str, **fields: Json) -> Future[Answer]:
        """Send a message; the future is done by what answers it. `kind` only types it."""
        message_id = f"q{next(self._ids)}"
        if (strange := not_json(fields)) is not None:
            raise BadField(type_, *strange)
        text = client_message({"type": type_, "id": message_id, **fields}).encode()
        if self._limit_bytes is not None and (size_bytes := len(text.encode())) > self._limit_bytes:
            raise MessageTooBig(size_bytes, self._limit_bytes)
        future: Future[Answer] = Future()
        future.set_running_or_notify_cancel()  # what is asked cannot be taken back by cancelling the future
        with self._lock:
            if self._lost is not None:
                raise self._lost
            self._waiting[message_id] = future
        try:
            self._socket.send(text)
        except ConnectionClosed as closed:
            raise _lost(closed) from None
        return future

    def _wait(self, future: Future[Answer], asked: str) -> Answer:
        try:
            return future.result(self._timeout_s)
        except TimeoutError:
            with self._lock:  # forget it: what comes now comes too late
                self._waiting = {key: each for key, each in self._waiting.items() if each is not future}
            raise NoAnswer(asked, self._timeout_s) from None

    def _read(self) -> None:
        """On the reading thread, until the connection ends."""
        try:
            while True:
                self._hear(self._socket.recv(decode=True))
        except ConnectionClosed as closed:
            lost = _lost(closed)
        except Exception:
            log.exception("the client cannot go on reading")
            lost = ConnectionLost(ABNORMAL, "the client cannot go on reading")
        with self._lock:
            self._lost = lost
            futures = [*self._waiting.values(), *self._readies.values()]
            self._waiting.clear()
        for future in futures:
            if not future.done():
                future.set_exception(lost)

    def _hear(self, text: str) -> None:
        message = _understand(text)
        match message:
            case None:  # a type of a newer server
                return
            case s2c.TurnPartial():
                if (hear := self._hear_partial.get((message.session, message.turn_id))) is not None:
                    try:
                        hear(message)
                    except Exception:
                        log.exception("on_partial failed")
                return
            case s2c.SessionReady():
                if not (ready := self._readies.setdefault(message.session, Future())).done():
                    ready.set_result(message)
                return
            case s2c.TurnResult():
                self._hear_partial.pop((message.session, message.turn_id), None)
        with self._lock:
            future = None if message.reply_to is None else self._waiting.pop(message.reply_to, None)
        if future is None:
            if isinstance(message, s2c.Error):
                self.unmatched.append(message)
        elif isinstance(message, s2c.Error):
            future.set_exception(_refused(message))
        else:
            future.set_result(message)


def _understand(text: str) -> s2c.ServerMessage | None:
    """The server's message. One that lacks what this client needs becomes an error to whoever asked."""
    try:
        return server_message(text)
    except MessageError as error:
        value: Mapping[str, Json] = {}
        with suppress(MessageError):
            value = read_json(text)
        return error_message(error, {"id": value.get("reply_to")})


def _refused(error: s2c.Error) -> ServerError:
    return ServerError(error.code, error.message, error.retryable)


def _lost(closed: ConnectionClosed) -> ConnectionLost:
    return ConnectionLost(ABNORMAL, "") if closed.rcvd is None else ConnectionLost(closed.rcvd.code, closed.rcvd.reason)
