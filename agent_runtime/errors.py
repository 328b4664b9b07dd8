"""The runtime's errors: what a client, a studio's files or a disk can cause. Each sentence says what to do.

HotseatError
├── UnknownName      no match, session, model, persona or game goes by this name
├── UnknownTurn      no finished turn of a session has this turn_id
├── NameTaken        a session's name that belongs to another match
├── PersonaInUse     an edited game lacks a persona that a session is
├── BadSettings      a settings file with an unknown key or a value of the wrong kind
├── CannotWrite      a file that was asked for and cannot be written
├── StaleTurn        a turn_id that was used before with another body, or lies before the last one
├── StaleFrame       a frame that is older than the match's, or not yet known
├── BadActions       no actions, an empty one, two that read the same, one too long, or a schema that is refused
├── BadState         a state or patch that cannot be taken
├── PromptTooLong    more tokens than the model's context
├── Overloaded       no room for the turn in the pool or in the queue
├── NotDurable       a flush that could not be finished
└── EngineError      (agent_runtime.engine.errors) models, tokenizers, and the engine's own limits
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeVar

V = TypeVar("V")


class HotseatError(Exception):
    """Base of all. `code` goes on the wire; `retryable` says whether the same message may succeed later."""

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False


@dataclass(eq=False)
class UnknownName(HotseatError):
    """A name that nothing was opened or configured under."""

    kind: str
    name: str
    nearest: str | None = None
    known: tuple[str, ...] = ()
    code: ClassVar[str] = "unknown_name"

    def __str__(self) -> str:
        hint = f" Did you mean {self.nearest!r}?" if self.nearest else ""
        if not self.nearest and self.known:
            hint = f" There is: {', '.join(self.known)}."
        return f"There is no {self.kind} named {self.name!r}.{hint}"


@dataclass(eq=False)
class UnknownTurn(HotseatError):
    """A turn of a session that was never asked, is under way, or was forgotten."""

    session: str
    turn_id: int
    code: ClassVar[str] = "unknown_name"

    def __str__(self) -> str:
        return f"Session {self.session!r} has no finished turn {self.turn_id}: name one that was answered of late."


def named(kind: str, name: str, known: Mapping[str, V]) -> V:
    """Return what goes by a name. Raises UnknownName with the nearest name that exists."""
    if name not in known:
        nearest = difflib.get_close_matches(name, known, n=1)
        # What is configured is no secret; the matches and sessions of others are nobody's business.
        listed = tuple(sorted(known)) if kind in ("game", "model", "persona") else ()
        raise UnknownName(kind, name, nearest[0] if nearest else None, listed)
    return known[name]


@dataclass(eq=False)
class NameTaken(HotseatError):
    """A session's name that another match's session goes by."""

    name: str
    match: str
    code: ClassVar[str] = "name_taken"

    def __str__(self) -> str:
        return f"Session {self.name!r} belongs to match {self.match!r}. Give this one another name."


@dataclass(eq=False)
class PersonaInUse(HotseatError):
    """An edited game folder that lacks a persona which a session of a running match is."""

    persona: str
    session: str
    match: str
    code: ClassVar[str] = "persona_in_use"

    def __str__(self) -> str:
        return (
            f"Session {self.session!r} of match {self.match!r} is the persona {self.persona!r}, which is gone from the "
            "game's folder. Put its file back, or close the session first."
        )


@dataclass(eq=False)
class BadSettings(HotseatError):
    """A settings file that cannot be used."""

    file: str
    why: str
    code: ClassVar[str] = "bad_settings"

    def __str__(self) -> str:
        return f"{self.file}: {self.why}"


@dataclass(eq=False)
class CannotWrite(HotseatError):
    """A file that was asked for and cannot be written."""

    file: Path
    why: str
    code: ClassVar[str] = "cannot_write"

    def __str__(self) -> str:
        return f"{self.file} cannot be written ({self.why}). Name a file in a folder that is there and can be written."


@dataclass(eq=False)
class StaleTurn(HotseatError):
    """A turn_id that cannot be taken (again)."""

    session: str
    turn_id: int
    last: int
    code: ClassVar[str] = "stale_turn"

    def __str__(self) -> str:
        return (
            f"Session {self.session!r} has already seen turn {self.last}; turn {self.turn_id} is either older or was "
            "sent with another body. Send a new turn with a larger turn_id."
        )


@dataclass(eq=False)
class StaleFrame(HotseatError):
    """A frame that the match is not at."""

    match: str
    frame: int
    current: int | None
    code: ClassVar[str] = "stale_frame"

    def __str__(self) -> str:
        if self.current is None:
            return f"Match {self.match!r} has no state yet. Send match.state with frame {self.frame} first."
        if self.frame > self.current:
            return (
                f"Match {self.match!r} is at frame {self.current}, and frame {self.frame} has not arrived. "
                "Send its match.state first."
            )
        return (
            f"Match {self.match!r} is already at frame {self.current}; frame {self.frame} is past. "
            "Name the current frame."
        )


@dataclass(eq=False)
class BadActions(HotseatError):
    """A list of actions that cannot be decided among."""

    why: str
    code: ClassVar[str] = "bad_actions"

    def __str__(self) -> str:
        return self.why


@dataclass(eq=False)
class BadState(HotseatError):
    """A state or patch that cannot be taken; the match stays at the frame it had."""

    match: str
    why: str
    code: ClassVar[str] = "bad_state"

    def __str__(self) -> str:
        return f"The state of match {self.match!r} was not changed: {self.why}"


@dataclass(eq=False)
class PromptTooLong(HotseatError):
    """A prompt that does not fit the model's context."""

    tokens: int
    limit: int
    observation_tokens: int
    num_blocks: int
    largest: str
    code: ClassVar[str] = "prompt_too_long"

    def __str__(self) -> str:
        return (
            f"The prompt has {self.tokens} tokens, what may follow it included, and the model's context ends at "
            f"{self.limit}: {self.observation_tokens} of them are the observation with its actions, the others lie in "
            f"{self.num_blocks} blocks, the largest of them {self.largest}. Shorten what is long, or narrow the "
            "session's sight."
        )


@dataclass(eq=False)
class Overloaded(HotseatError):
    """No room in the pool or the queue right now."""

    why: str
    code: ClassVar[str] = "overloaded"
    retryable: ClassVar[bool] = True

    def __str__(self) -> str:
        return self.why


@dataclass(eq=False)
class NotDurable(HotseatError):
    """A flush that could not be finished: the disk refused, or time ran out."""

    why: str
    code: ClassVar[str] = "not_durable"
    retryable: ClassVar[bool] = True

    def __str__(self) -> str:
        return f"Not everything is on disk yet: {self.why}"
