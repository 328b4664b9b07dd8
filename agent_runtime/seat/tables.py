"""What a seat knows of the environments it plays, and a turn from the question to the answer."""

import itertools
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from agent_runtime.agent import PendingTurn
from agent_runtime.turn import Action, Json, TurnResult
from game_adapters import TurnView
from game_adapters.environments import Environment

Float64s = NDArray[np.float64]


@dataclass(eq=False, slots=True)
class Place:
    """One agent at one table: its session, and what it was last asked."""

    session: str
    match: str
    turn_id: int = 0
    last: "SeatTurn | None" = None
    """The last turn. As long as the agent sees and may do the same, it is not computed again."""
    done: Action | None = None
    """What the agent does about its last turn; taken up as history when it is asked again."""


@dataclass(eq=False, slots=True)
class Table:
    """One environment as the seat knows it; `number` counts environments as they came."""

    number: int
    env: "weakref.ref[Environment]"
    episode: int = 0
    places: dict[str, Place] = field(default_factory=dict)
    frames: dict[str, tuple[int, Json]] = field(default_factory=dict)
    """By match: its frame, and that frame's state."""
    num_acts: dict[str, int] = field(default_factory=dict)
    """By agent, over all episodes: no two draws are the same."""
    left: set[str] = field(default_factory=set)
    """Agents that were seen dead. When one lives again, the environment was reset."""


@dataclass(eq=False, slots=True)
class SeatTurn:
    """What an agent is asked, and the model's answer once it is there."""

    table: Table
    place: Place
    view: TurnView
    frame: int
    pending: PendingTurn | None
    result: TurnResult | None = None

    def is_about(self, view: TurnView, frame: int) -> bool:
        """Return whether an agent that sees this reads the same prompt."""
        same_words = self.view.observation_text == view.observation_text and self.view.actions == view.actions
        return self.result is not None and self.frame == frame and same_words

    def spread(self, values: Iterable[float], elsewhere: float) -> Float64s:
        """Return values of the offered actions, in their order, as an array over all actions."""
        array = np.full(self.view.num_actions, elsewhere, dtype=np.float64)
        array[[offer.number - self.view.first_number for offer in self.view.actions]] = list(values)
        return array

    @property
    def distribution(self) -> Float64s:
        """Return the shares of all actions."""
        assert self.result is not None
        shares = self.spread((score.p for score in self.result.scores), 0.0)
        shares /= shares.sum()
        return shares

    @property
    def logprobs(self) -> Float64s:
        """Return the log-probabilities of all actions."""
        assert self.result is not None
        return self.spread((score.logprob for score in self.result.scores), -np.inf)


class Tables:
    """The environments that a seat plays, each for as long as somebody else holds it."""

    def __init__(self, close: Callable[[Table], None]) -> None:
        """`close` ends the matches of a table."""
        self._close = close
        self._numbers = itertools.count()
        self._tables: dict[int, Table] = {}
        self._gone: deque[Table] = deque()

    def of(self, env: Environment) -> Table:
        """Return an environment's table, a new one if it was never seen."""
        table = self._tables.get(id(env))
        if table is None or table.env() is not env:
            gone = self._gone
            made = table = Table(next(self._numbers), weakref.ref(env, lambda _: gone.append(made)))
            self._tables[id(env)] = table
        return table

    def begin_anew(self, table: Table) -> None:
        """End what a table's agents did and remember."""
        self._close(table)
        table.episode += 1
        table.places.clear()
        table.frames.clear()
        table.left.clear()

    def begin_all_anew(self) -> None:
        """End what all agents did and remember."""
        for table in list(self._tables.values()):
            self.begin_anew(table)

    def close_gone(self) -> None:
        """Close the matches of environments that nobody holds any more."""
        while self._gone:
            table = self._gone.popleft()
            self.begin_anew(table)
            for key in [key for key, known in self._tables.items() if known is table]:
                del self._tables[key]

    def close(self) -> None:
        """Close the matches of all."""
        self.close_gone()
        self.begin_all_anew()
        self._tables.clear()
