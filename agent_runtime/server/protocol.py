"""One connection's protocol, without sockets, threads or clocks: text in, events out.

    machine.receive(text, now)          a frame came            -> events
    machine.answer(ticket, value, now)  a Call was answered     -> events
    machine.tick(now)                   a deadline passed       -> events

`now` is in seconds of any clock that never goes back, but for what was brought a little before it is taken in. Whoever
runs the machine performs its events in their order.
The rules:

* The first message is hello, in time and with the right token; otherwise the connection ends.
* Every other bad message is answered by an `error` that says what to do, and changes nothing.
* Every message has one answer; session.open has a second one, session.ready.
* A turn has exactly one turn.result. At its deadline that is `timeout`, and the action never comes; in a session with
  `on_deadline: late` it comes when it is decided, marked.
* A turn sent again while it is under way, with an equal body, shares the result; with another body it is refused.
"""

import hmac
import itertools
from dataclasses import dataclass, replace
from enum import Enum, auto

from agent_runtime.errors import HotseatError, Overloaded
from agent_runtime.server import client_messages as c2s
from agent_runtime.server import server_messages as s2c
from agent_runtime.server.answers import answer_message, error_message, names_in, ready_message, result_message
from agent_runtime.server.asked_turns import AskedTurn, AskedTurns, check_actions
from agent_runtime.server.client_messages import MessageId
from agent_runtime.server.errors import (
    BadField,
    BinaryRefused,
    ConnectionRefused,
    HelloExpected,
    MessageTooBig,
    NotOpen,
    ShuttingDown,
    Unauthorised,
    UnsupportedProtocol,
)
from agent_runtime.server.events import BeginTurn, Call, CancelTurn, Close, Event, Heard, Send
from agent_runtime.server.messages import PROTOCOL, client_message, read_json
from agent_runtime.server.opened import Opened, OpenedBefore
from agent_runtime.server.runtime import Answer, Ask, AskTurn, CloseMatch, CloseSession, Flush, PutBlock, PutState
from agent_runtime.turn import Json, Outcome, Partial, SessionReady, SessionSpec, TurnResult, body_digest


class _Phase(Enum):
    GREETING = auto()
    OPEN = auto()
    DRAINING = auto()
    CLOSED = auto()


@dataclass(slots=True)
class _Asked:
    """A question that waits for the runtime. `before`: what a failed opening goes back to."""

    ask: Ask
    match: str | None
    reply_to: MessageId | None
    before: OpenedBefore | None = None
    answered: bool = False
    ready: SessionReady | None = None


class Machine:
    """The server's side of one connection.

    `welcome`: the answer to hello. `token`: what hello must show; None when nothing is asked, or the HTTP header has
    shown it already. `hello_by`: when the hello must have come.
    """

    def __init__(self, welcome: s2c.Welcome, *, token: str | None, hello_by: float) -> None:
        self._welcome = welcome
        self._limits = welcome.limits
        self._token = token
        self._hello_by = hello_by
        self._phase = _Phase.GREETING
        self._opened = Opened(welcome.limits)
        self._tickets = itertools.count(1)
        self._asked: dict[int, _Asked] = {}
        self._turns = AskedTurns()

    @property
    def is_closed(self) -> bool:
        """True after a Close: nothing more is taken."""
        return self._phase is _Phase.CLOSED

    @property
    def next_deadline(self) -> float | None:
        """When `tick` has something to do."""
        return self._hello_by if self._phase is _Phase.GREETING else self._turns.next_deadline

    def receive(self, text: str, now: float) -> list[Event]:
        """A text frame came."""
        events = self.tick(now)
        if self.is_closed:
            return events
        is_greeting = self._phase is _Phase.GREETING
        kind, value, match = "malformed", dict[str, Json](), None
        try:
            self._check_size(text)
            value = read_json(text)
            match = self._opened.match_of(value)
            message = client_message(value)
            kind = message.type
            answers = self._greet(message) if is_greeting else self._take(message, now)
        except HotseatError as error:
            answers = [self._send(error_message(error, value), match)]
            if is_greeting:
                code = error.close_code if isinstance(error, ConnectionRefused) else HelloExpected.close_code
                answers.append(self._close(code, error.code))
        # A token is in no recording, be it in a hello or in something that was meant to be one.
        is_secret = (is_greeting or kind in ("malformed", "hello")) and "token" in text
        match = match or self._opened.match_of(value)  # an opening names what was not open before
        return [*events, Heard(kind, match, "" if is_secret else text), *answers]

    def receive_binary(self) -> list[Event]:
        """A binary frame came: the connection ends."""
        if self.is_closed:
            return []
        error = BinaryRefused()
        return [
            Heard("binary", None, ""),
            self._send(error_message(error, {}), None),
            self._close(error.close_code, error.code),
        ]

    def tick(self, now: float) -> list[Event]:
        """Time has passed: settle what is overdue."""
        if self._phase is _Phase.GREETING and now >= self._hello_by:
            error = HelloExpected("not there in time")
            return [self._send(error_message(error, {}), None), self._close(error.close_code, error.code)]
        events: list[Event] = []
        for asked in self._turns:
            if asked.is_overdue(now) and not asked.comes_late:
                session, turn_id = asked.request.session, asked.request.turn_id
                message = "The turn was not decided by its deadline. Its action will not come."
                result = TurnResult(session, turn_id, Outcome.TIMEOUT, message=message)
                events += self._settle(asked, result)
                events.append(CancelTurn(session, turn_id, settled=result))
        return events

    def drain(self) -> None:
        """Take nothing new from now on; what is under way is still answered."""
        if not self.is_closed:
            self._phase = _Phase.DRAINING

    def answer(self, ticket: int, answer: Answer, now: float) -> list[Event]:
        """The runtime answered a Call."""
        events = self.tick(now)
        asked = self._asked.get(ticket)
        if asked is None:
            return events
        asked.answered = True
        if isinstance(asked.ask, CloseSession | CloseMatch):
            events += self._give_up_waiting(asked.ask)
        message = answer_message(asked.ask, answer, asked.reply_to)
        if message is not None:
            events.append(self._send(message, asked.match))
        if asked.ready is not None:
            events.append(self._finish_ready(ticket, asked, asked.ready))
        elif not isinstance(asked.ask, SessionSpec | PutBlock):
            del self._asked[ticket]
        return events

    def ready(self, ticket: int, ready: SessionReady, now: float) -> list[Event]:
        """The blocks that a session or block Call asked for are encoded. May come before the Call's answer."""
        events = self.tick(now)
        asked = self._asked.get(ticket)
        if asked is None:
            return events
        if not asked.answered:
            asked.ready = ready
            return events
        return [*events, self._finish_ready(ticket, asked, ready)]

    def refuse(self, ticket: int, error: HotseatError, now: float) -> list[Event]:
        """The runtime refused a Call."""
        events = self.tick(now)
        if (asked := self._asked.pop(ticket, None)) is not None:
            message = error_message(error, {**names_in(asked.ask), "id": asked.reply_to})
            if asked.before is not None:
                self._opened.undo(asked.before)
            return [*events, self._send(message, asked.match)]
        if (turn := self._turns.of_ticket(ticket)) is None:
            return events
        session, turn_id = turn.request.session, turn.request.turn_id
        if isinstance(error, Overloaded):
            return events + self._settle(turn, TurnResult(session, turn_id, Outcome.OVERLOADED, message=str(error)))
        self._turns.remove(turn)
        names = {"match": turn.match, "session": session, "turn_id": turn_id}
        return events + [self._send(error_message(error, {**names, "id": asker}), turn.match) for asker in turn.askers]

    def result(self, ticket: int, result: TurnResult, now: float) -> list[Event]:
        """A turn was decided."""
        events = self.tick(now)
        asked = self._turns.of_ticket(ticket)
        if asked is None:  # it timed out: its action never comes
            return events
        return events + self._settle(asked, replace(result, late=True) if asked.is_overdue(now) else result)

    def partial(self, ticket: int, partial: Partial, now: float) -> list[Event]:
        """A piece of a turn's free text was decoded."""
        events = self.tick(now)
        asked = self._turns.of_ticket(ticket)
        if asked is None:
            return events
        message = s2c.TurnPartial(
            reply_to=asked.askers[0],
            session=asked.request.session,
            turn_id=asked.request.turn_id,
            kind=partial.kind,
            text=partial.text,
        )
        return [*events, self._send(message, asked.match)]

    def _greet(self, message: c2s.ClientMessage) -> list[Event]:
        if not isinstance(message, c2s.Hello):
            raise HelloExpected(repr(message.type))
        if message.protocol != PROTOCOL:
            raise UnsupportedProtocol(message.protocol[:80], PROTOCOL)
        if self._token is not None and not hmac.compare_digest((message.token or "").encode(), self._token.encode()):
            raise Unauthorised()
        self._phase = _Phase.OPEN
        return [self._send(self._welcome.model_copy(update={"reply_to": message.id}), None)]

    def _take(self, message: c2s.ClientMessage, now: float) -> list[Event]:
        """Carry out one message of an open connection. Raises what it is to be refused with, having changed nothing."""
        if self._phase is _Phase.DRAINING:
            raise ShuttingDown()
        match message:
            case c2s.MatchOpen():
                return self._call(message, message.spec(), self._opened.open_match(message.match))
            case c2s.SessionOpen():
                before = self._opened.open_session(message.session, message.match, message.on_deadline)
                return self._call(message, message.spec(), before)
            case c2s.MatchState():
                self._opened.need_match(message.match)
                return self._call(
                    message, PutState(message.match, message.frame, message.state, message.patch, message.base)
                )
            case c2s.BlockPut():
                self._opened.need_session(message.session)
                return self._call(message, PutBlock(message.session, message.name, message.text))
            case c2s.Turn():
                return self._ask_turn(message, now)
            case c2s.TurnCancel():
                return self._cancel_turn(message)
            case c2s.TurnApplied():
                self._opened.need_session(message.session)
                return self._call(message, message.applied())
            case c2s.Flush():
                self._opened.need_match(message.match)
                return self._call(message, Flush(message.match, message.timeout_ms / 1000))
            case c2s.SessionClose():
                self._opened.need_session(message.session)
                events = self._call(message, CloseSession(message.session))
                self._opened.close_session(message.session)
                return events
            case c2s.MatchClose():
                self._opened.need_match(message.match)
                events = self._call(message, CloseMatch(message.match))
                self._opened.close_match(message.match)
                return events
        raise BadField(message.type, "type", "this connection has said hello already")

    def _call(self, message: c2s.ClientMessage, ask: Ask, before: OpenedBefore | None = None) -> list[Event]:
        ticket = next(self._tickets)
        match = self._opened.match_of(names_in(ask))
        self._asked[ticket] = _Asked(ask, match, message.id, before)
        return [Call(ticket, ask)]

    def _ask_turn(self, message: c2s.Turn, now: float) -> list[Event]:
        session = self._opened.need_session(message.session)
        request = message.request()
        check_actions(request.actions, self._limits)
        digest = body_digest(request)
        deadline_s = None if message.deadline_ms is None else message.deadline_ms / 1000
        deadline = None if deadline_s is None else now + deadline_s
        comes_late = session.on_deadline == "late"
        asked = AskedTurn(next(self._tickets), session.match, request, digest, deadline, comes_late, [message.id])
        if not self._turns.add(asked):
            return []
        if len(self._turns) > self._limits.turns:
            sentence = f"This connection has {self._limits.turns} turns under way. Wait for one, then send this again."
            overloaded = TurnResult(message.session, message.turn_id, Outcome.OVERLOADED, message=sentence)
            return self._settle(asked, overloaded)
        return [BeginTurn(asked.ticket, session.match, AskTurn(request, digest), deadline_s)]

    def _cancel_turn(self, message: c2s.TurnCancel) -> list[Event]:
        session = self._opened.need_session(message.session)
        asked = self._turns.find(message.session, message.turn_id)
        noted = s2c.TurnNoted(
            reply_to=message.id,
            session=message.session,
            turn_id=message.turn_id,
            what="over" if asked is None else "cancelling",
        )
        events: list[Event] = [self._send(noted, session.match)]
        return events if asked is None else [*events, CancelTurn(message.session, message.turn_id)]

    def _settle(self, asked: AskedTurn, result: TurnResult) -> list[Event]:
        self._turns.remove(asked)
        return [self._send(result_message(result, asker), asked.match) for asker in asked.askers]

    def _finish_ready(self, ticket: int, asked: _Asked, ready: SessionReady) -> Event:
        del self._asked[ticket]
        return self._send(ready_message(asked.ask, ready, asked.reply_to), asked.match)

    def _give_up_waiting(self, closed: CloseSession | CloseMatch) -> list[Event]:
        """Blocks that were on their way to a closed session are not waited for any longer."""
        events: list[Event] = []
        for ticket, asked in list(self._asked.items()):
            if not (asked.answered and isinstance(asked.ask, SessionSpec | PutBlock)):
                continue
            if asked.match != closed.match if isinstance(closed, CloseMatch) else asked.ask.session != closed.session:
                continue
            del self._asked[ticket]
            if isinstance(asked.ask, PutBlock):
                refused = {**names_in(asked.ask), "id": asked.reply_to}
                events.append(self._send(error_message(NotOpen("session", asked.ask.session), refused), asked.match))
        return events

    def _check_size(self, text: str) -> None:
        limit_bytes = self._limits.message_bytes
        # A character has at most four bytes in UTF-8: only near the limit does it have to be encoded to be measured.
        if len(text) * 4 > limit_bytes and (size_bytes := len(text.encode())) > limit_bytes:
            raise MessageTooBig(size_bytes, limit_bytes)

    def _send(self, message: s2c.ServerMessage, match: str | None) -> Event:
        return Send(message.type, match, message.encode())

    def _close(self, code: int, reason: str) -> Event:
        self._phase = _Phase.CLOSED
        return Close(code, reason)
