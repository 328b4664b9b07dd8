"""One connection: its socket, its protocol machine, and the machine's events carried out."""

import asyncio
import logging
import math
import time
from collections import deque
from functools import partial

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from agent_runtime.errors import HotseatError
from agent_runtime.server.brought import Brought
from agent_runtime.server.events import BeginTurn, Call, CancelTurn, Close, Event, Heard, Send
from agent_runtime.server.faults import as_answer
from agent_runtime.server.protocol import Machine
from agent_runtime.server.runtime import Answer, Ask, CloseMatch, CloseSession, Flush, PutState, perform
from agent_runtime.server.shared import Shared
from agent_runtime.server.turn_runner import begin_turn
from agent_runtime.server.workers import Job, Lane, LaneJob
from agent_runtime.turn import MatchOpened, MatchSpec, Partial, SessionReady, TurnResult

log = logging.getLogger(__name__)

TRY_AGAIN_LATER = 1013
# For how long an answer to a frame is held back at most. A GPU computes the turn behind it by then.
HELD_S = 0.01


class Connection:
    """Lives on the event loop's thread. The runtime is called on the lane's threads, one call after another; a turn
    that was begun there runs on beside them, and outlives the connection."""

    def __init__(self, name: str, socket: ServerConnection, machine: Machine, shared: Shared) -> None:
        self._name = name
        self._socket = socket
        self._machine = machine
        self._shared = shared
        self._lane = Lane(shared.workers)
        self._brought = Brought(shared)
        self._looking_in: asyncio.TimerHandle | None = None
        self._outgoing: deque[str] = deque()
        self._outgoing_chars = 0
        self._has_work_for_writer = asyncio.Event()
        self._close_with: tuple[int, str] | None = None
        self._is_reading_paused = False
        self._has_room = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._cutting_off: asyncio.Task[None] | None = None
        self._is_gone = False

    async def serve(self) -> None:
        """Read and answer until the connection ends."""
        writer = asyncio.create_task(self._write())
        self._set_timer()
        try:
            while True:
                frame = await self._socket.recv()
                arrived, now = time.perf_counter(), self._shared.loop.time()
                self._brought.take_in()
                if self._cutting_off is not None:
                    pass  # read on, or the other side's goodbye would never be reached
                elif isinstance(frame, str):
                    self._carry_out(self._machine.receive(frame, now), arrived)
                else:
                    self._carry_out(self._machine.receive_binary(), arrived)
                await self._wait_for_room()
        except ConnectionClosed:
            pass  # its sessions and turns go on
        finally:
            self._is_gone = True
            writer.cancel()
            if self._timer is not None:
                self._timer.cancel()

    def drain(self) -> None:
        """Refuse everything new."""
        self._brought.take_in()
        self._machine.drain()

    @property
    def is_idle(self) -> bool:
        """True when no call waits and every answer has been handed to the socket."""
        return self._lane.is_idle and not self._brought and self._outgoing_chars == 0

    def _carry_out(self, events: list[Event], arrived: float = 0.0) -> None:
        if self._is_gone:
            return
        for event in events:
            match event:
                case Heard():
                    self._shared.recorder.frame("c2s", self._name, event.kind, event.match, event.text)
                case Send():
                    self._shared.recorder.frame("s2c", self._name, event.kind, event.match, event.text)
                    self._send(event.text)
                case BeginTurn():
                    self._begin_turn(event, arrived)
                case Call(ask=Flush() as ask):  # takes its place in the order, and waits for the disk beside it
                    self._in_order(partial(self._shared.workers.submit, partial(self._perform, event.ticket, ask)))
                case Call(ask=ask):
                    self._in_order(partial(self._perform, event.ticket, ask))
                case CancelTurn():
                    self._cancel_turn(event)
                case Close():
                    self._close_with = event.code, event.reason
                    self._has_work_for_writer.set()
        self._set_timer()

    def _begin_turn(self, event: BeginTurn, arrived: float) -> None:
        try:
            turn = self._shared.turns.ask(event.ask, event.match, _Waiting(self, event.ticket))
        except HotseatError as error:
            self.turn_refused(event.ticket, error)
            return
        if turn is not None:
            deadline = math.inf if event.deadline_s is None else arrived + event.deadline_s
            self._in_order(partial(begin_turn, self._shared, turn, arrived, deadline))

    def _cancel_turn(self, event: CancelTurn) -> None:
        turn = self._shared.turns.find(event.session, event.turn_id)
        if turn is None:
            return
        if event.settled is None:
            turn.cancel()
        else:
            self._shared.turns.settle(turn, event.settled)

    def _in_order(self, job: LaneJob) -> None:
        def then_make_room() -> Job | None:
            beside = job()
            if self._is_reading_paused:
                self._shared.post(self._has_room.set)
            return beside

        if not self._lane.is_idle:  # so that an answer may be held back for it
            self._look_in_soon()
        self._lane.submit(then_make_room)

    def _look_in_soon(self) -> None:
        if self._looking_in is None:
            self._looking_in = self._shared.loop.call_later(HELD_S, self._look_in)

    def _look_in(self) -> None:
        self._looking_in = None
        self._brought.take_in()
        # In this order: what is held was held before the lane was idle.
        if not self._is_gone and (not self._lane.is_idle or self._brought):
            self._look_in_soon()

    def _perform(self, ticket: int, ask: Ask) -> None:
        """On a thread of the lane."""
        try:
            answer = perform(
                self._shared.runtime, ask, lambda ready: self._brought.bring(partial(self._blocks_ready, ticket, ready))
            )
        except Exception as error:
            self._brought.bring(partial(self._ask_refused, ticket, ask, as_answer(error)))
            return
        answered = partial(self._answered, ticket, ask, answer)
        if not isinstance(ask, PutState):
            self._brought.bring(answered)
        elif len(self._lane):
            # What comes behind is the turn about this frame, as a rule, and would wait for the interpreter's lock while
            # the loop's thread writes the answer. So that goes out while a GPU computes the turn, or with what comes
            # before that.
            self._brought.hold(answered)
        else:
            self._brought.bring(answered)
            self._look_ahead(ask.match)

    def _look_ahead(self, match: str) -> None:
        try:
            self._shared.runtime.look_ahead(match)
        except Exception:  # the frame is taken, and what comes behind it is not to wait for ever
            log.exception("the frame of match %r was not read ahead of its turn", match)

    # What comes back, on the loop's thread: `at` is when, and what was due since comes behind it.

    def _answered(self, ticket: int, ask: Ask, answer: Answer, at: float) -> None:
        if isinstance(answer, MatchOpened):
            self._shared.recorder.match_opened(answer)
        if isinstance(ask, CloseSession | CloseMatch):
            self._shared.turns.forget(ask)
        self._carry_out(self._machine.answer(ticket, answer, at))
        if isinstance(ask, CloseMatch):
            self._shared.recorder.match_closed(ask.match)

    def _ask_refused(self, ticket: int, ask: Ask, error: HotseatError, at: float) -> None:
        if isinstance(ask, MatchSpec):
            self._shared.recorder.match_refused(ask.match)
        self._carry_out(self._machine.refuse(ticket, error, at))

    def _blocks_ready(self, ticket: int, ready: SessionReady, at: float) -> None:
        self._carry_out(self._machine.ready(ticket, ready, at))

    def turn_refused(self, ticket: int, error: HotseatError) -> None:
        """A turn was not taken."""
        self._brought.take_in()
        self._carry_out(self._machine.refuse(ticket, error, self._shared.loop.time()))

    def turn_decided(self, ticket: int, result: TurnResult) -> None:
        """A turn's result came."""
        self._brought.take_in()
        self._carry_out(self._machine.result(ticket, result, self._shared.loop.time()))

    def turn_speaks(self, ticket: int, piece: Partial) -> None:
        """A piece of a turn's free text came."""
        self._brought.take_in()
        self._carry_out(self._machine.partial(ticket, piece, self._shared.loop.time()))

    def _tick(self) -> None:
        self._timer = None
        self._brought.take_in()
        self._carry_out(self._machine.tick(self._shared.loop.time()))

    def _set_timer(self) -> None:
        deadline = self._machine.next_deadline
        if self._timer is not None:
            if deadline == self._timer.when():
                return
            self._timer.cancel()
            self._timer = None
        if deadline is not None and not self._machine.is_closed:
            self._timer = self._shared.loop.call_at(deadline, self._tick)

    # The socket.

    def _send(self, text: str) -> None:
        if self._cutting_off is not None:
            return
        self._outgoing.append(text)
        self._outgoing_chars += len(text)
        self._has_work_for_writer.set()
        limits = self._shared.config.limits
        if len(self._outgoing) > limits.outgoing_messages or self._outgoing_chars > limits.outgoing_bytes:
            log.warning(
                "connection %s reads too slowly: %d answers wait; it is closed", self._name, len(self._outgoing)
            )
            self._outgoing.clear()
            self._cutting_off = asyncio.create_task(
                self._socket.close(TRY_AGAIN_LATER, "answers were not read in time")
            )

    async def _write(self) -> None:
        """Send what is to be sent, in its order; flow control makes it wait for a slow reader."""
        try:
            while True:
                while self._outgoing:
                    text = self._outgoing.popleft()
                    await self._socket.send(text)
                    self._outgoing_chars -= len(text)
                if self._close_with is not None:
                    await self._socket.close(*self._close_with)
                    return
                self._has_work_for_writer.clear()
                await self._has_work_for_writer.wait()
        except ConnectionClosed:
            return

    async def _wait_for_room(self) -> None:
        """Not reading the socket is what slows a client down that asks faster than it is answered."""
        limit = self._shared.config.limits.waiting
        while len(self._lane) >= limit:
            self._has_room.clear()
            self._is_reading_paused = True  # before looking again: a job that ends from now on sets the event
            if len(self._lane) >= limit:
                await self._has_room.wait()
            self._is_reading_paused = False


class _Waiting:
    """A connection that waits for a turn, under its ticket."""

    def __init__(self, connection: Connection, ticket: int) -> None:
        self._connection = connection
        self._ticket = ticket

    def partial(self, piece: Partial) -> None:
        self._connection.turn_speaks(self._ticket, piece)

    def result(self, result: TurnResult) -> None:
        self._connection.turn_decided(self._ticket, result)

    def refused(self, error: HotseatError) -> None:
        self._connection.turn_refused(self._ticket, error)
