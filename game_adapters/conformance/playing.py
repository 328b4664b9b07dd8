"""Games played for the checks, and played again up to any moment."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random

from game_adapters.adapter import PettingZooAdapter, SharedState, TurnView, match_state
from game_adapters.environments import Environment, checked_env, code_of
from game_adapters.errors import GameAdapterError
from game_adapters.game_state import Json, json_state
from game_adapters.stepping import Stepper, Waiting

MakeEnv = Callable[[int], Environment]


@dataclass(frozen=True, slots=True)
class Seen:
    """One agent's turn: what it saw, the state that its match would have, and what it did.

    `given` is the very object that the game returned as that state.
    """

    view: TurnView
    match_state: Json
    given: object
    number: int


@dataclass(frozen=True, slots=True)
class Moment:
    """All that happened between two steps: the turns of the agents that acted, and the action of each."""

    turns: tuple[Seen, ...]

    @property
    def actions(self) -> dict[str, int]:
        """By agent."""
        return {seen.view.agent: seen.number for seen in self.turns}


@dataclass(slots=True)
class Played:
    """One game under one seed, as far as it went; `error` is what ended it before its time."""

    seed: int
    moments: list[Moment] = field(default_factory=list)
    error: GameAdapterError | None = None
    illegal: str | None = None

    @property
    def turns(self) -> list[tuple[int, Seen]]:
        """Every turn with the number of its moment."""
        return [(number, seen) for number, moment in enumerate(self.moments) for seen in moment.turns]


class Player:
    """Plays a game as the checks need it."""

    def __init__(self, adapter: PettingZooAdapter, make_env: MakeEnv) -> None:
        self.adapter = adapter
        self.game = adapter.game
        self.contract = adapter.contract
        self.shared = adapter.contract if isinstance(adapter.contract, SharedState) else None
        self._make_env = make_env

    def start(self, seed: int) -> Stepper:
        """A fresh environment. Raises GameAdapterError."""
        with code_of(self.game, f"make_env(seed={seed})"):
            env = checked_env(self.game, self._make_env(seed), self._make_env)
        return Stepper(self.game, env, seed)

    def play(self, seed: int, num_turns: int) -> Played:
        """Random legal actions until the game ends, or for about `num_turns` turns. Errors are kept, not raised."""
        played, random = Played(seed), Random(seed)
        try:
            stepper = self.start(seed)
            while len(played.turns) < num_turns and (waiting := stepper.waiting()):
                moment = Moment(tuple(self._seen(each, random) for each in waiting))
                names = {
                    seen.view.agent: next(o.id for o in seen.view.actions if o.number == seen.number)
                    for seen in moment.turns
                }
                played.moments.append(moment)
                if self.step(stepper, moment.actions, names) and played.illegal is None:
                    played.illegal = ", ".join(f"{agent!r} did {name!r}" for agent, name in names.items())
        except GameAdapterError as error:
            played.error = error
        return played

    def step(self, stepper: Stepper, actions: Mapping[str, int], names: Mapping[str, str] | None = None) -> bool:
        """Step a game; return whether one of PettingZoo's guards called the actions illegal."""
        with _illegal_moves() as said:
            stepper.step(actions, names)
        return bool(said)

    def _seen(self, waiting: Waiting, random: Random) -> Seen:
        view = self.view(waiting)
        if self.shared is not None:
            state, given = match_state(self.game, self.shared, waiting.env, view.agent)
        else:
            with code_of(self.game, f"describe for {view.agent!r}"):
                given = self.contract.describe(waiting.env, view.agent)
            state = json_state(self.game, view.agent, given)
        return Seen(view, state, given, random.choice(view.actions).number)

    def view(self, waiting: Waiting) -> TurnView:
        """The turn of an agent that is waited for."""
        view = self.adapter.turn(*waiting)
        assert view is not None, "who is waited for is alive"
        return view

    def again(self, played: Played, number: int) -> tuple[Stepper, dict[str, Waiting]] | None:
        """The same game played up to a moment, and who is waited for there. None if it does not get there.

        Nothing is looked at on the way. Raises GameAdapterError.
        """
        stepper = self.start(played.seed)
        for moment in played.moments[:number]:
            if {each.agent for each in stepper.waiting()} != moment.actions.keys():
                return None
            self.step(stepper, moment.actions)
        return stepper, {each.agent: each for each in stepper.waiting()}


def some(played: Played, most: int) -> list[int]:
    """Numbers of a few moments, spread over the game: the first and the last among them."""
    count = len(played.moments)
    if count <= most:
        return list(range(count))
    return sorted({round(step * (count - 1) / (most - 1)) for step in range(most)})


@contextmanager
def _illegal_moves() -> Iterator[list[str]]:
    """Collect what PettingZoo's guards say of illegal moves meanwhile, and keep it from being printed."""
    said: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "llegal" in record.getMessage():
                said.append(record.getMessage())

    logger, listener = logging.getLogger("pettingzoo.utils.env_logger"), Listener()
    before, logger.propagate = logger.propagate, False
    logger.addHandler(listener)
    try:
        yield said
    finally:
        logger.removeHandler(listener)
        logger.propagate = before
