"""How a recording is to be played against a server."""

import math
from dataclasses import dataclass

from agent_runtime.replay.load.errors import BadPace
from agent_runtime.turn import Mode

# Longer than the longest answer that anybody would wait for: a first prompt on a slow machine takes minutes.
ANSWER_S = 600.0


@dataclass(frozen=True, slots=True)
class Server:
    """Where the server listens, and what it wants to be shown. `is_own`: it runs for this replay alone."""

    url: str
    token: str | None = None
    is_own: bool = False


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How to play. Without `modes` it is the recorded one; `model` is one of the server's own names.

    `pace` None is the closed loop: each message goes out when the one before is answered. A number is the open loop: a
    message goes out when it is due, at so many times the recorded pace, whatever the answers do. `copies` of the match
    are played at once, over `connections` (default: one each); each has a `cache_salt` of its own, so that none finds
    what another has encoded, unless they have `shared_blocks`. `deadline_ms` stands in for the recorded deadlines.
    `seed` draws the order of the modes at each turn; `answer_s` bounds the wait for any answer.
    """

    modes: tuple[Mode, ...] = ()
    model: str | None = None
    pace: float | None = None
    copies: int = 1
    connections: int | None = None
    shared_blocks: bool = False
    deadline_ms: float | None = None
    seed: int = 0
    answer_s: float = ANSWER_S

    @property
    def is_side_by_side(self) -> bool:
        """True when the modes are played turn by turn, one waiting for the other; otherwise one after the other."""
        return self.pace is None and self.copies == 1

    @property
    def has_own_salts(self) -> bool:
        """Return whether every copy shares blocks with nobody."""
        return self.copies > 1 and not self.shared_blocks

    @property
    def num_connections(self) -> int:
        """Return how many connections one mode uses."""
        return min(self.connections or self.copies, self.copies)


AS_RECORDED = LoadOptions()


def read_pace(text: str) -> float | None:
    """Return the pace that a word or number means, None for the closed loop. Raises BadPace."""
    if text == "closed":
        return None
    if text == "recorded":
        return 1.0
    try:
        pace = float(text.removesuffix("x"))
    except ValueError:
        raise BadPace(text) from None
    if not (math.isfinite(pace) and pace > 0):
        raise BadPace(text)
    return pace
