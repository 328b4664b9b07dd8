"""What a connection's protocol machine wants done. Whoever runs the machine performs them in their order."""

from dataclasses import dataclass

from agent_runtime.server.runtime import Ask, AskTurn
from agent_runtime.turn import TurnResult


@dataclass(frozen=True, slots=True)
class Heard:
    """A frame came. For recordings: `text` as received, but a hello without its token. `match`: whose frame it is."""

    kind: str
    match: str | None
    text: str


@dataclass(frozen=True, slots=True)
class Send:
    """Send this text."""

    kind: str
    match: str | None
    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """Put this to the runtime, behind the connection's earlier calls, and bring the answer back under the ticket."""

    ticket: int
    ask: Ask


@dataclass(frozen=True, slots=True)
class BeginTurn:
    """Begin this turn, behind the connection's earlier calls, and bring what comes of it back under the ticket.

    `deadline_s` is counted from its arrival; None without a deadline.
    """

    ticket: int
    match: str
    ask: AskTurn
    deadline_s: float | None


@dataclass(frozen=True, slots=True)
class CancelTurn:
    """Stop a turn. With `settled` that is its result for good, whatever the runtime still brings."""

    session: str
    turn_id: int
    settled: TurnResult | None = None


@dataclass(frozen=True, slots=True)
class Close:
    """End the connection with this WebSocket close code, after everything sent before."""

    code: int
    reason: str


Event = Heard | Send | Call | BeginTurn | CancelTurn | Close
