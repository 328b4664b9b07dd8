"""From the lines of a recording to what is asked of a runtime again, in the order in which it was asked.

A frame is left out if the recorded server refused it, or if it asks the same turn once more: so the recording of a
client that lost its connection and came back replays as one game. History takes what was done then: every `TurnApplied`
carries the recorded action. Steps are read as they are taken, one at a time, however long the recording is.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from agent_runtime.replay.answers import Answers, read_answers
from agent_runtime.replay.errors import NothingToReplay, OtherProtocol
from agent_runtime.replay.recording_format import Line, Recording, line_at
from agent_runtime.server import client_messages as c2s
from agent_runtime.server import server_messages as s2c
from agent_runtime.server.errors import MessageError
from agent_runtime.server.messages import PROTOCOL, client_message, read_json, server_message
from agent_runtime.server.runtime import CloseMatch, CloseSession, PutBlock, PutState
from agent_runtime.turn import Action, MatchSpec, SessionSpec, TurnApplied, TurnRequest, body_digest

_NOTHING_DONE = "the action was not possible"
# A server keeps fewer finished turns of a session than this, and refuses what is older.
_REMEMBERED_TURNS = 64


@dataclass(frozen=True, slots=True)
class RecordedTurn:
    """A turn to ask again, what came out of it then, and how long its prompt was; None where there was no result.

    `is_first` says that it is the first of its session since the session was opened.
    """

    request: TurnRequest
    action: Action | None = None
    num_tokens: int | None = None
    deadline_ms: float | None = None
    is_first: bool = False


Step = MatchSpec | PutState | SessionSpec | PutBlock | CloseSession | CloseMatch | TurnApplied | RecordedTurn


@dataclass(frozen=True, slots=True)
class TimedStep:
    """A step, when it came since the recording began, and over which connection.

    `at_ms` leaves out what lay between two parts: nobody recorded it. `on_deadline` is what a session was opened with:
    it is the server's to know, so no `SessionSpec` has it.
    """

    at_ms: float
    conn: str
    step: Step
    on_deadline: c2s.OnDeadline = "timeout"


class RecordedSteps:
    """The steps of a recording; every iteration reads them anew."""

    def __init__(self, recording: Recording) -> None:
        """Find the answers. Raises OtherProtocol."""
        for part in recording.parts:
            if part.header.protocol != PROTOCOL:
                raise OtherProtocol(recording.path, part.header.protocol, PROTOCOL)
        self.recording = recording
        self._answers = read_answers(recording)

    def __iter__(self) -> Iterator[TimedStep]:
        with self.recording.path.open("rb") as file:
            reading = _Reading(self._answers, file)
            began_ms = 0.0
            for part in self.recording.parts:
                now_ms = began_ms
                for line in part.lines:
                    now_ms = began_ms + line.t_ns / 1e6
                    if line.dir == "c2s" and (step := reading.take(line)) is not None:
                        yield TimedStep(now_ms, line.conn, step, reading.on_deadline)
                began_ms = now_ms

    def count_turns(self) -> int:
        """Return how many turns there are; reads the whole recording."""
        return sum(isinstance(each.step, RecordedTurn) for each in self)


def check_turns(recording: Recording) -> None:
    """Refuse a recording in which no turn was asked. Raises NothingToReplay and OtherProtocol."""
    if not any(isinstance(each.step, RecordedTurn) for each in RecordedSteps(recording)):
        raise NothingToReplay(recording.path)


def steps_of(recording: Recording) -> Iterator[Step]:
    """Yield the steps of a recording. Raises OtherProtocol."""
    return (each.step for each in RecordedSteps(recording))


@dataclass(slots=True)
class _OpenSession:
    """What is known of a session while its lines are read: the turns asked last, their digests and their actions."""

    is_new: bool = True
    asked: OrderedDict[int, set[str]] = field(default_factory=OrderedDict)
    actions: dict[int, Action | None] = field(default_factory=dict)

    def ask(self, request: TurnRequest) -> bool:
        """Take note of a turn; False if it was asked before."""
        digests = self.asked.setdefault(request.turn_id, set())
        digest = body_digest(request)
        is_known = digest in digests
        digests.add(digest)
        if len(self.asked) > _REMEMBERED_TURNS:
            oldest, _ = self.asked.popitem(last=False)
            self.actions.pop(oldest, None)
        return not is_known


@dataclass(slots=True)
class _Reading:
    """One reading of a recording for its steps. Results are looked up in `file`."""

    answers: Answers
    file: BinaryIO
    num_lines: int = 0
    num_turns: int = 0
    on_deadline: c2s.OnDeadline = "timeout"
    sessions: dict[str, _OpenSession] = field(default_factory=dict)

    def take(self, line: Line) -> Step | None:
        """Return what a client's frame asks for, None if it is not to be asked again."""
        number, self.num_lines = self.num_lines, self.num_lines + 1
        self.on_deadline = "timeout"
        turn, self.num_turns = self.num_turns, self.num_turns + (line.kind == "turn")
        if number in self.answers.refused:
            return None
        try:
            message = client_message(read_json(line.payload))
        except MessageError:  # it was refused then, too
            return None
        match message:
            case c2s.Turn():
                return self._turn(message, turn)
            case c2s.TurnApplied():
                return self._applied(message)
            case c2s.MatchOpen():
                return message.spec()
            case c2s.SessionOpen():
                self.sessions.setdefault(message.session, _OpenSession())
                self.on_deadline = message.on_deadline
                return message.spec()
            case c2s.MatchState():
                return PutState(message.match, message.frame, message.state, message.patch)
            case c2s.BlockPut():
                return PutBlock(message.session, message.name, message.text)
            case c2s.SessionClose():
                self.sessions.pop(message.session, None)
                return CloseSession(message.session)
            case c2s.MatchClose():
                self.sessions.clear()
                return CloseMatch(message.match)
        return None

    def _turn(self, message: c2s.Turn, number: int) -> RecordedTurn | None:
        session = self.sessions.setdefault(message.session, _OpenSession())
        request, result = message.request(), self._result(number)
        is_new, is_first = session.ask(request), session.is_new
        if result is not None:
            session.actions[message.turn_id] = result.action
        if not is_new:
            return None
        session.is_new = False
        turn = RecordedTurn(request, deadline_ms=message.deadline_ms, is_first=is_first)
        if result is None:
            return turn
        account = result.account
        return replace(turn, action=result.action, num_tokens=account.tokens_prompt if account else None)

    def _result(self, number: int) -> s2c.TurnResult | None:
        place = self.answers.result_of(number)
        if place is None:
            return None
        try:
            message = server_message(line_at(self.file, place).payload)
        except MessageError:
            return None
        return message if isinstance(message, s2c.TurnResult) else None

    def _applied(self, message: c2s.TurnApplied) -> TurnApplied:
        """What the game did then, whatever an agent chooses now."""
        applied, session = message.applied(), self.sessions.get(message.session)
        action = applied.action or (session.actions.get(message.turn_id) if session else None)
        if applied.ok and action is None:
            return replace(applied, ok=False, message=applied.message or _NOTHING_DONE)
        return replace(applied, action=action)
