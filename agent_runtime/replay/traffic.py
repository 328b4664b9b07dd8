"""How a mode's turns went over the wire, beyond what single turns say."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerShares:
    """Where the time to a decision went, as means a turn in milliseconds over the turns that have the server's account.

    `client` is what was measured here, from the last byte of the turn's frame; `decision` is the server's own figure
    for the same, of which `queue`, `engine` and `overhead` are parts; `wire` is the rest: both sockets, and this end.
    """

    turns: int
    client: float
    decision: float
    queue: float
    engine: float
    overhead: float
    wire: float


@dataclass(frozen=True, slots=True)
class Traffic:
    """One mode's traffic. `asked` turns went out, `unanswered` ones never came back, `under_way_max` were it at once.

    `copies_refused` are those whose match the server did not open. `turns_per_s` counts answered turns from the first
    question to the last answer. `refused` counts messages that were answered with an error.
    """

    copies: int
    copies_refused: int
    asked: int
    unanswered: int
    refused: int
    under_way_max: int
    turns_per_s: float | None
    queue_max_ms: float | None
    shares_ms: ServerShares | None
