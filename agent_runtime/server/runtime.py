"""What the server asks of the runtime behind it, as one frozen type per question, and the runtime's interface.

Implemented by `agent_runtime.agent.AgentRuntime` and by the scripted one of the tests.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from agent_runtime.turn import (
    FlushReport,
    FrameChange,
    Json,
    MatchOpened,
    MatchSpec,
    Partial,
    SessionOpened,
    SessionReady,
    SessionSpec,
    TurnApplied,
    TurnRequest,
    TurnResult,
)


@dataclass(frozen=True, slots=True)
class PutState:
    """The state of a match at a frame: whole, or as a patch of the frame before."""

    match: str
    frame: int
    state: Json = None
    patch: list[dict[str, Json]] | None = None
    base: int | None = None


@dataclass(frozen=True, slots=True)
class PutBlock:
    """A private block of a session; without a text it is removed."""

    session: str
    name: str
    text: str | None


@dataclass(frozen=True, slots=True)
class AskTurn:
    """A turn to begin. `body_digest` tells a repeated question from another one under the same turn_id."""

    request: TurnRequest
    body_digest: str


@dataclass(frozen=True, slots=True)
class Flush:
    """Wait until what a match has asked to keep is on disk."""

    match: str
    timeout_s: float


@dataclass(frozen=True, slots=True)
class CloseSession:
    """End a session."""

    session: str


@dataclass(frozen=True, slots=True)
class CloseMatch:
    """End a match."""

    match: str


# AskTurn is not among them: a turn is begun in order and then runs beside everything else.
Ask = MatchSpec | PutState | SessionSpec | PutBlock | TurnApplied | Flush | CloseSession | CloseMatch
Answer = MatchOpened | FrameChange | SessionOpened | FlushReport | None


class PendingTurn(Protocol):
    """A turn that was begun: its frame is a snapshot, and its session has seen its turn_id."""

    def run(self, partial: Callable[[Partial], None] | None = None) -> TurnResult:
        """Block until the turn is decided. Called once, on any thread."""

    def cancel(self) -> None:
        """Make `run` return soon, as cancelled unless it was decided already. From any thread; never blocks."""


class Runtime(Protocol):
    """Everything behind the server. Methods block, may be called from any thread, and raise `agent_runtime.errors`."""

    def describe(self) -> Mapping[str, Json]:
        """`models`: name, block_tuned; `games`: name, title, personas."""

    def open_match(self, spec: MatchSpec) -> MatchOpened:
        """Open a match or take it up again."""

    def put_state(
        self,
        match: str,
        frame: int,
        *,
        state: Json = None,
        patch: list[dict[str, Json]] | None = None,
        base: int | None = None,
    ) -> FrameChange:
        """Take a frame: exactly one of `state` and `patch` (of frame `base`). After an error the match is as it was."""

    def look_ahead(self, match: str) -> None:
        """Do of the next turn's work what the frame taken last allows already. Optional, quick, and never raises."""

    def open_session(self, spec: SessionSpec, ready: Callable[[SessionReady], None]) -> SessionOpened:
        """Open a session or take it up again; `ready` is called once, from any thread, perhaps before this returns."""

    def put_block(self, session: str, name: str, text: str | None, ready: Callable[[SessionReady], None]) -> None:
        """Add, replace or (without text) remove a private block; `ready` as for open_session."""

    def stored_result(self, session: str, turn_id: int, body_digest: str) -> TurnResult | None:
        """What an equal turn was answered with, also before a restart; None if there was none.

        Raises StaleTurn when the turn_id was used with another body. Cheap: called before every turn.
        """

    def begin_turn(
        self,
        request: TurnRequest,
        *,
        arrived: float | None = None,
        deadline: float = float("inf"),
        body_digest: str = "",
    ) -> PendingTurn:
        """Check a turn and take the snapshot it is about. Its result is stored under the digest.

        `arrived` and `deadline` are times of time.perf_counter(); the deadline orders the queue, the server cancels.
        """

    def apply_turn(self, applied: TurnApplied) -> None:
        """Note what became of a turn's action."""

    def flush(self, match: str, timeout_s: float) -> FlushReport:
        """Return when everything put before is on disk; raise NotDurable otherwise."""

    def close_session(self, session: str) -> None:
        """End a session."""

    def close_match(self, match: str) -> None:
        """End a match and its sessions."""

    def close(self, drain_s: float) -> None:
        """Put everything on disk, within `drain_s`, and stop."""


def perform(runtime: Runtime, ask: Ask, ready: Callable[[SessionReady], None]) -> Answer:
    """Put one question to the runtime and wait for the answer."""
    match ask:
        case MatchSpec():
            return runtime.open_match(ask)
        case PutState():
            return runtime.put_state(ask.match, ask.frame, state=ask.state, patch=ask.patch, base=ask.base)
        case SessionSpec():
            return runtime.open_session(ask, ready)
        case PutBlock():
            runtime.put_block(ask.session, ask.name, ask.text, ready)
        case TurnApplied():
            runtime.apply_turn(ask)
        case Flush():
            return runtime.flush(ask.match, ask.timeout_s)
        case CloseSession():
            runtime.close_session(ask.session)
        case CloseMatch():
            runtime.close_match(ask.match)
    return None
