"""What the recorded server answered, found before the questions are asked again.

A recording has the answer to a turn behind it, perhaps far behind it and in another part. So a recording is read once
for where the answers stand, eight bytes a turn, and once more for the questions.
"""

from array import array
from collections import OrderedDict
from dataclasses import dataclass, field

from pydantic_core import from_json

from agent_runtime.replay.recording_format import Line, Recording
from agent_runtime.turn import Json

# An error that comes more messages later than this is not traced to what it refused.
_REMEMBERED_IDS = 1024
# Where a recording's header stands, so that no answer does.
_NOWHERE = 0

_Turn = tuple[str | int | None, str | int | None]
# Part, connection, and the id that the client gave it.
_Sent = tuple[int, str, str | int]


@dataclass(slots=True)
class Answers:
    """`refused` numbers the lines from clients (from 0, of the whole recording) that were answered with an error."""

    refused: set[int] = field(default_factory=set)
    _results: "array[int]" = field(default_factory=lambda: array("q"))

    def result_of(self, number: int) -> int | None:
        """Return where the result of the recording's turn with this number (from 0, repeated ones too) stands."""
        return self._results[number] or None

    def ask(self) -> int:
        """Count one more turn, and return its number."""
        self._results.append(_NOWHERE)
        return len(self._results) - 1

    def answer(self, number: int, place: int) -> None:
        """Say where the result of a turn stands."""
        self._results[number] = place


def read_answers(recording: Recording) -> Answers:
    """Read a recording for its answers. What is held meanwhile grows only with the turns that never got any."""
    answers = Answers()
    # A turn that is asked again after a restart is two turns here, with one answer.
    waiting: dict[_Turn, list[int]] = {}
    sent: OrderedDict[_Sent, int] = OrderedDict()
    number = -1
    for part, each in enumerate(recording.parts):
        for place, line in each.placed_lines():
            number += line.dir == "c2s"
            match line.dir, line.kind:
                case "s2c", "turn.result":
                    for turn in waiting.pop(_turn(_read(line)), ()):
                        answers.answer(turn, place)
                case "s2c", "error":
                    refused = _sent(part, line, "reply_to")
                    if refused is not None and refused in sent:
                        answers.refused.add(sent[refused])
                case "c2s", "turn":
                    waiting.setdefault(_turn(_read(line)), []).append(answers.ask())
                case "c2s", "session.close":
                    closed = _read(line).get("session")
                    waiting = {turn: numbers for turn, numbers in waiting.items() if turn[0] != closed}
                case "c2s", "match.close":
                    waiting.clear()
            if line.dir == "c2s" and (name := _sent(part, line, "id")) is not None:
                sent.pop(name, None)
                sent[name] = number
                if len(sent) > _REMEMBERED_IDS:
                    sent.popitem(last=False)
    return answers


def _read(line: Line) -> dict[str, Json]:
    """Return the object that a frame is; what is none was refused then and has no fields."""
    try:
        value = from_json(line.payload, cache_strings="keys")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _turn(message: dict[str, Json]) -> _Turn:
    return _plain(message.get("session")), _plain(message.get("turn_id"))


def _sent(part: int, line: Line, field: str) -> _Sent | None:
    """Return what a message is known by to its client; None for one without an id."""
    name = _plain(_read(line).get(field))
    return None if name is None else (part, line.conn, name)


def _plain(value: Json) -> str | int | None:
    return value if isinstance(value, str | int) else None
