"""A recording as a script: what is to be said, in which order and when, for any number of players at once.

Players read it each at a pace of its own, so it is written once, to a temporary file: however long the recording is and
however many play it, memory holds one cue a player. What differs from player to player (names, ids, the mode) is left
out and filled in when a cue is said.
"""

import json
import mmap
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydantic_core import from_json, to_json

from agent_runtime.replay.errors import NothingToReplay
from agent_runtime.replay.recording_format import Header, Recording
from agent_runtime.replay.samples import action_text
from agent_runtime.replay.steps import RecordedSteps, RecordedTurn, TimedStep
from agent_runtime.server.runtime import CloseMatch, CloseSession, PutBlock, PutState
from agent_runtime.turn import Action, Decide, Json, MatchSpec, SessionSpec, TurnApplied, TurnRequest

_EMPTY = b"\n"


@dataclass(frozen=True, slots=True)
class AskedTurn:
    """What is known of a recorded turn before it is asked again. `action` is None also where it was drawn: a draw
    depends on the session's name, which is another one now. `is_first`: of its session, since it was opened."""

    turn_id: int
    deadline_ms: float | None
    action: Action | None
    num_tokens: int | None
    is_first: bool


@dataclass(frozen=True, slots=True)
class Cue:
    """One message of the script. `body` is a JSON object with everything but names, id, mode, model and deadline.

    `at_ms` counts from the beginning of the recording. `turn_id` is that of a turn and of what became of one.
    """

    at_ms: float
    kind: str
    match: str | None
    session: str | None
    turn_id: int | None
    body: bytes
    turn: AskedTurn | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Script:
    """A recording ready to be played. `games` are those of its matches, `models` the models that they named.

    `actions` counts the recorded actions that were not drawn. `named_personas` are the sessions whose persona came as
    text: its block begins with the session's name.
    """

    path: Path
    header: Header
    num_turns: int
    num_deadlines: int
    named_personas: int
    duration_ms: float
    games: tuple[str, ...]
    models: tuple[str, ...]
    actions: Mapping[str, int]
    _lines: "mmap.mmap"

    @property
    def mean_gap_ms(self) -> float:
        """Return the mean time from one turn to the next, as recorded."""
        return self.duration_ms / self.num_turns

    def cues(self) -> Iterator[Cue]:
        """Yield the cues from the first to the last; every call begins anew."""
        lines, at = self._lines, 0
        while (end := lines.find(b"\n", at)) > at:
            body_end = lines.find(b"\n", end + 1)
            at_ms, kind, match, session, turn_id, turn = from_json(lines[at:end])
            yield Cue(at_ms, kind, match, session, turn_id, lines[end + 1 : body_end], _read_turn(turn_id, turn))
            at = body_end + 1


@contextmanager
def written_script(recording: Recording) -> Iterator[Script]:
    """Write a recording as a script, and throw it away at the end. Raises OtherProtocol and NothingToReplay."""
    seen = _Seen()
    with tempfile.TemporaryFile(prefix="hotseat-script-") as file:
        for timed in RecordedSteps(recording):
            seen.take(timed)
            file.write(_line(timed))
        if seen.num_turns == 0:
            raise NothingToReplay(recording.path)
        file.write(_EMPTY)
        file.flush()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as lines:
            yield Script(
                path=recording.path,
                header=recording.parts[0].header,
                num_turns=seen.num_turns,
                num_deadlines=seen.num_deadlines,
                named_personas=seen.named_personas,
                duration_ms=seen.duration_ms,
                games=tuple(seen.games),
                models=tuple(seen.models),
                actions=seen.actions,
                _lines=lines,
            )


@dataclass(slots=True)
class _Seen:
    """What a script says of itself, while it is written."""

    num_turns: int = 0
    num_deadlines: int = 0
    named_personas: int = 0
    duration_ms: float = 0.0
    games: dict[str, None] = field(default_factory=dict)
    models: dict[str, None] = field(default_factory=dict)
    actions: Counter[str] = field(default_factory=Counter)

    def take(self, timed: TimedStep) -> None:
        self.duration_ms = max(self.duration_ms, timed.at_ms)
        match timed.step:
            case RecordedTurn() as turn:
                self.num_turns += 1
                self.num_deadlines += turn.deadline_ms is not None
                if turn.action is not None and turn.request.decide.how != "sample":
                    self.actions[action_text(turn.action.id, turn.action.args)] += 1
            case MatchSpec() as match:
                self.games[match.game] = None
                if match.model is not None:
                    self.models[match.model] = None
            case SessionSpec() as session:
                self.named_personas += session.persona_text is not None


def _line(timed: TimedStep) -> bytes:
    """Two lines: what a player has to know of the cue, and its body."""
    step = timed.step
    turn = _turn_facts(step) if isinstance(step, RecordedTurn) else None
    kind, names, body = _message(step, timed.on_deadline)
    facts = [timed.at_ms, kind, names.get("match"), names.get("session"), names.get("turn_id"), turn]
    return b"%s\n%s\n" % (json.dumps(facts).encode(), to_json({"type": kind, **body}))


def _turn_facts(step: RecordedTurn) -> Json:
    action = None if step.action is None or step.request.decide.how == "sample" else [step.action.id, step.action.args]
    return [step.deadline_ms, action, step.num_tokens, step.is_first]


def _read_turn(turn_id: int | None, facts: Json) -> AskedTurn | None:
    if facts is None:
        return None
    assert turn_id is not None
    deadline_ms, action, num_tokens, is_first = facts
    return AskedTurn(turn_id, deadline_ms, None if action is None else Action(*action), num_tokens, is_first)


def _message(step: Json, on_deadline: str) -> tuple[str, dict[str, Json], dict[str, Json]]:
    """A step as a message: its type, what it names, and the rest of its fields."""
    match step:
        case MatchSpec():
            return "match.open", {"match": step.match}, {"game": step.game, **_salt(step.cache_salt)}
        case PutState():
            body = {"patch": step.patch} if step.patch is not None else {"state": step.state}
            return "match.state", {"match": step.match}, {"frame": step.frame, **body}
        case SessionSpec():
            told = {
                "sight": step.sight,
                "persona": step.persona,
                "persona_text": step.persona_text,
                "history_turns": step.history_turns,
                "on_deadline": on_deadline,
            }
            return "session.open", {"session": step.session, "match": step.match}, told
        case PutBlock():
            return "block.put", {"session": step.session}, {"name": step.name, "text": step.text}
        case RecordedTurn(request=TurnRequest() as request):
            names = {"session": request.session, "turn_id": request.turn_id}
            return "turn", names, {"turn_id": request.turn_id, **_question(request)}
        case TurnApplied():
            action = None if step.action is None else {"id": step.action.id, "args": step.action.args}
            done = {"ok": step.ok, "message": step.message, "reward": step.reward, "action": action}
            names = {"session": step.session, "turn_id": step.turn_id}
            return "turn.applied", names, {"turn_id": step.turn_id, **done}
        case CloseSession():
            return "session.close", {"session": step.session}, {}
    assert isinstance(step, CloseMatch)
    return "match.close", {"match": step.match}, {}


def _salt(salt: str) -> dict[str, Json]:
    return {"cache_salt": salt} if salt else {}


def _question(request: TurnRequest) -> dict[str, Json]:
    decide: Decide = request.decide
    return {
        "frame": request.frame,
        "observation": request.observation,
        "actions": [{"id": each.id, "text": each.text, "schema": each.schema} for each in request.actions],
        "decide": {
            "how": decide.how,
            "temperature": decide.temperature,
            "seed": decide.seed,
            "think_tokens": decide.think_tokens,
            "say_tokens": decide.say_tokens,
        },
    }
