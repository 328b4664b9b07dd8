"""What can be wrong with what a seat is asked. What is wrong with an environment is in `game_adapters.errors`.

HotseatError (agent_runtime.errors)
└── SeatError
    ├── NotPairs       `act_many` for something else than pairs of an environment and an agent
    ├── AskedTwice     one agent of one environment, twice at once
    ├── NotParallel    `act_all` for an environment whose agents act one after the other
    ├── SeatClosed     a seat that was closed with the runtime it had opened
    ├── NothingToNote  `note` for an agent that was not asked
    └── TurnEnded      a turn that brought no action
"""

from dataclasses import dataclass
from typing import ClassVar

from agent_runtime.errors import HotseatError
from agent_runtime.turn import Outcome


class SeatError(HotseatError):
    """What can be wrong with what a seat is asked."""


@dataclass(eq=False)
class NotPairs(SeatError):
    """Something else than pairs of an environment and an agent; `place` is where it stands in the list."""

    found: str
    place: int | None = None
    code: ClassVar[str] = "not_pairs"

    def __str__(self) -> str:
        what = "this" if self.place is None else f"number {self.place} of the list"
        return (
            f"Turns are asked for as a list of pairs (environment, agent), and {what} is a {self.found}. Write "
            "[(env, None)] for the agent on turn, (env, 'player_0') for one by its name, and (env, agent, observation, "
            "info) in a parallel environment whose observations or infos hold an action_mask."
        )


@dataclass(eq=False)
class AskedTwice(SeatError):
    """One agent of one environment, twice at once."""

    agent: str
    code: ClassVar[str] = "asked_twice"

    def __str__(self) -> str:
        return f"{self.agent!r} of one environment was asked for twice at once. Ask once for each turn."


@dataclass(eq=False)
class NotParallel(SeatError):
    """`act_all` for an environment whose agents act one after the other."""

    code: ClassVar[str] = "not_parallel"

    def __str__(self) -> str:
        return "act_all is for parallel environments, whose agents act at once. Call act(env) for the agent on turn."


@dataclass(eq=False)
class SeatClosed(SeatError):
    """A seat that was closed with the runtime it had opened."""

    code: ClassVar[str] = "seat_closed"

    def __str__(self) -> str:
        return "The seat was closed, and its model with it. Ask inside its `with`, or make another seat."


@dataclass(eq=False)
class NothingToNote(SeatError):
    """`note` for an agent that was not asked."""

    agent: str
    why: str
    code: ClassVar[str] = "nothing_to_note"

    def __str__(self) -> str:
        return f"What {self.agent!r} did cannot be noted: {self.why}"


@dataclass(eq=False)
class TurnEnded(SeatError):
    """A turn that brought no action."""

    agent: str
    outcome: Outcome
    why: str | None
    code: ClassVar[str] = "turn_ended"

    def __str__(self) -> str:
        return f"The turn of {self.agent!r} ended as {self.outcome}: {self.why or 'no reason was given.'}"
