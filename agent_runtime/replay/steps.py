"""From the lines of a recording to what is asked of a runtime again, in the order in which it was asked.

A frame is left out if the recorded server refused it, or if it asks the same turn once more: so the recording of a
client that lost its connection and came back replays as one game. History takes what was done then: every `TurnApplied`
carries the recorded action.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace

from agent_runtime.replay.errors import OtherProtocol
from agent_runtime.replay.recording_format import Recording
from agent_runtime.server import client_messages as c2s
from agent_runtime.server import server_messages as s2c
from agent_runtime.server.errors import MessageError
from agent_runtime.server.messages import PROTOCOL, client_message, read_json, server_message
from agent_runtime.server.runtime import CloseMatch, CloseSession, PutBlock, PutState
from agent_runtime.turn import Action, MatchSpec, SessionSpec, TurnApplied, TurnRequest, body_digest

_NOTHING_DONE = "the action was not possible"


@dataclass(frozen=True, slots=True)
class RecordedTurn:
    """A turn to ask again, what came out of it then, and how long its prompt was; None where there was no result."""

    request: TurnRequest
    action: Action | None = None
    num_tokens: int | None = None


Step = MatchSpec | PutState | SessionSpec | PutBlock | CloseSession | CloseMatch | TurnApplied | RecordedTurn

# A match that was closed may be opened again and count its turns anew: (closings before, session, turn_id).
_TurnKey = tuple[int, str, int]


@dataclass(slots=True)
class _Answers:
    """What the recorded server answered: the messages it refused, as (part, connection, id), and the turns' results."""

    refused: set[tuple[int, str, c2s.MessageId]] = field(default_factory=set)
    results: dict[_TurnKey, s2c.TurnResult] = field(default_factory=dict)


def steps_of(recording: Recording) -> Iterator[Step]:
    """Yield the steps of a recording. Raises OtherProtocol."""
    for part in recording.parts:
        if part.header.protocol != PROTOCOL:
            raise OtherProtocol(recording.path, part.header.protocol, PROTOCOL)
    answers = _read_answers(recording)
    asked: set[tuple[_TurnKey, str]] = set()
    closings = 0
    for number, line in recording.lines:
        if line.dir != "c2s":
            continue
        closings += line.kind == "match.close"
        try:
            message = client_message(read_json(line.payload))
        except MessageError:  # it was refused then, too
            continue
        if message.id is not None and (number, line.conn, message.id) in answers.refused:
            continue
        match message:
            case c2s.Turn():
                key = closings, message.session, message.turn_id
                question = key, body_digest(message.request())
                if question not in asked:
                    asked.add(question)
                    yield _turn(message, answers.results.get(key))
            case c2s.TurnApplied():
                yield _applied(message, answers.results.get((closings, message.session, message.turn_id)))
            case c2s.MatchOpen() | c2s.SessionOpen():
                yield message.spec()
            case c2s.MatchState():
                yield PutState(message.match, message.frame, message.state, message.patch)
            case c2s.BlockPut():
                yield PutBlock(message.session, message.name, message.text)
            case c2s.SessionClose():
                yield CloseSession(message.session)
            case c2s.MatchClose():
                yield CloseMatch(message.match)


def _read_answers(recording: Recording) -> _Answers:
    answers, closings = _Answers(), 0
    for number, line in recording.lines:
        if line.dir == "c2s":
            closings += line.kind == "match.close"
        if line.dir != "s2c" or line.kind not in ("error", "turn.result"):
            continue
        with suppress(MessageError):
            message = server_message(line.payload)
            if isinstance(message, s2c.Error) and message.reply_to is not None:
                answers.refused.add((number, line.conn, message.reply_to))
            elif isinstance(message, s2c.TurnResult):
                answers.results[closings, message.session, message.turn_id] = message
    return answers


def _turn(message: c2s.Turn, result: s2c.TurnResult | None) -> RecordedTurn:
    if result is None:
        return RecordedTurn(message.request())
    return RecordedTurn(message.request(), result.action, result.account.tokens_prompt if result.account else None)


def _applied(message: c2s.TurnApplied, result: s2c.TurnResult | None) -> TurnApplied:
    """What the game did then, whatever an agent chooses now."""
    applied = message.applied()
    action = applied.action or (result.action if result else None)
    if applied.ok and action is None:
        return replace(applied, ok=False, message=applied.message or _NOTHING_DONE)
    return replace(applied, action=action)
