"""The turns of a recording, as they were answered: one after another, however long the recording is."""

import json
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from agent_runtime.first_look.errors import NoRecordings
from agent_runtime.replay.recording import SERVER_FILE
from agent_runtime.replay.recording_format import Line, Recording, read_recording
from agent_runtime.server import client_messages as c2s
from agent_runtime.server import server_messages as s2c
from agent_runtime.server.errors import MessageError
from agent_runtime.server.messages import client_message, read_json, server_message
from agent_runtime.turn import Action

# What a turn came to when no result did.
REFUSED, UNANSWERED = "refused", "unanswered"
# A server answers none again that lies further back than this.
_REMEMBERED_TURNS = 64


@dataclass(frozen=True, slots=True)
class LoggedTurn:
    """One turn: what was asked about which frame, and what came of it; None where the recording does not say.

    `outcome` is the result's, or `refused` with the error as `message`, or `unanswered`. `p` is the action's share.
    """

    match: str | None
    session: str
    turn_id: int
    frame: int | None
    outcome: str
    action: str | None = None
    p: float | None = None
    num_actions: int | None = None
    ttft_ms: float | None = None
    total_ms: float | None = None
    tokens_computed: int | None = None
    tokens_prompt: int | None = None
    late: bool = False
    message: str | None = None


def find_recordings(path: Path) -> tuple[Path, ...]:
    """Return the recordings of matches at a path: itself, or all in the folder. Raises NoRecordings."""
    if path.is_file():
        return (path,)
    if not path.is_dir():
        raise NoRecordings(path, "is not there")
    found = tuple(sorted(file for file in path.glob("*.jsonl") if file.name != SERVER_FILE))
    if not found:
        raise NoRecordings(path, "holds no recording of a match")
    return found


def read_match(file: Path, *, verify: bool = True) -> Recording:
    """Read the recording of a match. Raises NoRecordings, also for the file of what was said outside of matches, and
    what reading a recording raises."""
    try:
        recording = read_recording(file, verify=verify)
    except OSError as error:
        raise NoRecordings(file, f"cannot be read ({error.strerror})") from error
    if all(part.header.match is None for part in recording.parts):
        raise NoRecordings(file, "is no recording of a match: it holds what was said to the server outside of any")
    return recording


def turns_of(recording: Recording) -> Iterator[LoggedTurn]:
    """Yield the turns of a recording in the order of their answers."""
    yield from _Log(recording).turns()


def cuts_of(recording: Recording) -> Iterator[str]:
    """Yield in sentences where a recording was cut, so that turns may be missing."""
    for line in recording.cut_lines:
        yield (
            f"{recording.path}, line {line}: it was cut in its middle, as when a server is killed or a file is copied "
            "in part. What is whole is taken."
        )
    if recording.parts[-1].end is None and not recording.cut_lines:
        yield (
            f"{recording.path} has no end: its server was killed, or still runs, or the file was cut. What is there "
            "is listed."
        )


@dataclass(slots=True)
class _Log:
    """Questions that wait for their answer, and answers that were given: those of each session that count still."""

    recording: Recording
    match: str | None = None
    waiting: dict[tuple[str, int], int] = field(default_factory=dict)
    answered: dict[str, OrderedDict[int, None]] = field(default_factory=dict)

    def turns(self) -> Iterator[LoggedTurn]:
        for part in self.recording.parts:
            self.match = part.header.match
            for line in part.lines:
                with suppress(MessageError):  # refused then, too
                    yield from self._take(line)
        yield from self._unanswered(None)

    def _take(self, line: Line) -> Iterator[LoggedTurn]:
        match line.dir, line.kind:
            case "c2s", "turn":
                asked = client_message(read_json(line.payload))
                if isinstance(asked, c2s.Turn) and asked.turn_id not in self.answered.get(asked.session, ()):
                    self.waiting[asked.session, asked.turn_id] = asked.frame
            case "s2c", "turn.result" | "error":
                said = server_message(line.payload)
                if isinstance(said, s2c.TurnResult):
                    yield from self._result(said)
                elif isinstance(said, s2c.Error) and said.session is not None and said.turn_id is not None:
                    yield from self._refusal(said, said.session, said.turn_id)
            case "c2s", "session.close" | "match.close":
                session = read_json(line.payload).get("session")
                yield from self._unanswered(session)
                if session is None:
                    self.answered.clear()
                else:
                    self.answered.pop(session, None)

    def _result(self, said: s2c.TurnResult) -> Iterator[LoggedTurn]:
        answered = self.answered.setdefault(said.session, OrderedDict())
        if said.turn_id in answered:
            return  # asked again, and answered with the same
        answered[said.turn_id] = None
        if len(answered) > _REMEMBERED_TURNS:
            answered.popitem(last=False)
        account, action = said.account, said.action
        yield LoggedTurn(
            match=self.match,
            session=said.session,
            turn_id=said.turn_id,
            frame=self.waiting.pop((said.session, said.turn_id), None),
            outcome=str(said.outcome),
            action=None if action is None else named(action),
            p=next(
                (score.p for score in said.scores if action and (score.id, score.args) == (action.id, action.args)),
                None,
            ),
            num_actions=len(said.scores) or None,
            ttft_ms=account.ttft_ms if account else None,
            total_ms=account.total_ms if account else None,
            tokens_computed=account.tokens_computed if account else None,
            tokens_prompt=account.tokens_prompt if account else None,
            late=bool(said.late),
            message=said.message,
        )

    def _refusal(self, said: s2c.Error, session: str, turn_id: int) -> Iterator[LoggedTurn]:
        if (session, turn_id) in self.waiting:
            frame = self.waiting.pop((session, turn_id))
            yield LoggedTurn(self.match, session, turn_id, frame, REFUSED, message=f"{said.code}: {said.message}")

    def _unanswered(self, session: str | None) -> Iterator[LoggedTurn]:
        """The turns that no answer can come to any more: those of a session, or all."""
        for asked, turn_id in [key for key in self.waiting if session in (None, key[0])]:
            yield LoggedTurn(self.match, asked, turn_id, self.waiting.pop((asked, turn_id)), UNANSWERED)


def named(action: Action) -> str:
    """An action with its parameters, on one line."""
    return action.id if action.args is None else f"{action.id} {json.dumps(dict(action.args), ensure_ascii=False)}"
