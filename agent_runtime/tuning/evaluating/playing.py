"""Many matches of one game side by side: a player at one seat of each, an opponent at all others.

What all conditions play alike is the pair of seed and seat. The environment is made from the seed, and whatever a
player draws for itself is seeded with seed, seat, agent and number of the step: so a match is a function of its pair
and of who plays, and two conditions differ by the player alone. All environments that wait for the player are asked
about at once, so that a model's turns share a forward.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from agent_runtime.errors import HotseatError
from agent_runtime.tuning.errors import MatchFailed
from game_adapters.environments import Environment
from game_adapters.errors import ExpertLost, GameAdapterError
from game_adapters.experts import Expert, best_actions
from game_adapters.stepping import Stepper, Waiting


@dataclass(frozen=True, slots=True)
class Pair:
    """Which match: the environment's seed, and the seat of the player. `number` counts pairs from 0."""

    number: int
    seed: int
    seat: str


@dataclass(frozen=True, slots=True)
class Turn:
    """An agent that is to act; what is drawn at random for it is seeded with `draws`."""

    waiting: Waiting
    draws: str


@dataclass(frozen=True, slots=True)
class Choice:
    """The number of an action, and of a model's choice how much probability all listed actions had together.

    `is_legal_anyway` says that the chosen one was likelier than all that is not listed taken together: so the model
    would have answered legally without a list, too.
    """

    number: int
    legal_mass: float = 0.0
    is_legal_anyway: bool = False


class Player(Protocol):
    """Whoever sits at a seat, in many matches at once."""

    def choose(self, turns: Sequence[Turn]) -> list[Choice]:
        """Return an action for each turn. Raises HotseatError, GameAdapterError."""
        ...

    def leave(self, env: Environment) -> None:
        """Forget an environment whose match is over."""
        ...


@dataclass(slots=True)
class Played:
    """A match of one player: what its seat gained, and sums over its `decisions`.

    `judged` of them an expert had an answer to, and `agreed` of these were as good as the expert's.
    """

    pair: Pair
    reward: float = 0.0
    decisions: int = 0
    legal_mass: float = 0.0
    legal_anyway: int = 0
    judged: int = 0
    agreed: int = 0


@dataclass(frozen=True, slots=True)
class Matches:
    """How matches of a game are played. `judge` says of each decision of the player what would have been best."""

    game: str
    make: Callable[[int], Environment]
    opponent: Player | None
    at_once: int
    judge: Expert | None = None

    def play(self, player: Player, pairs: Iterable[Pair]) -> Iterator[Played]:
        """Play the matches of `pairs`, `at_once` side by side, and yield each as it ends, in no certain order.

        Every environment is closed, also when the caller goes away. Raises MatchFailed.
        """
        coming = iter(pairs)
        tables: list[_Table] = []
        try:
            while True:
                while len(tables) < self.at_once and (pair := next(coming, None)) is not None:
                    tables.append(_Table(self, pair))
                    if not tables[-1].goes_on(self.opponent):
                        yield tables.pop().closed(player)
                if not tables:
                    return
                for table, choice in zip(list(tables), self._choices(player, tables), strict=True):
                    table.take(choice)
                    if not table.goes_on(self.opponent):
                        tables.remove(table)
                        yield table.closed(player)
        finally:
            for table in tables:
                table.closed(player)

    def _choices(self, player: Player, tables: Sequence["_Table"]) -> list[Choice]:
        if self.judge is not None:
            for table in tables:
                with table.told():
                    table.hear(self.judge)
        try:
            return player.choose([table.asked for table in tables])
        except (HotseatError, GameAdapterError):
            # Which one it was: whoever raises alone.
            for table in tables:
                with table.told():
                    player.choose([table.asked])
            raise


class _Table:
    """One match as it is played."""

    def __init__(self, matches: Matches, pair: Pair) -> None:
        self.asked: Turn
        self._game = matches.game
        self._played = Played(pair)
        self._right: frozenset[int] = frozenset()
        self._others: dict[str, int] = {}
        with self.told():
            self._env = matches.make(pair.seed)
            try:
                self._stepper = Stepper(matches.game, self._env, pair.seed)
            except BaseException:
                close(self._env)
                raise

    @contextmanager
    def told(self) -> Iterator[None]:
        """Say of what goes wrong in which match it did."""
        try:
            yield
        except (HotseatError, GameAdapterError) as error:
            pair = self._played.pair
            raise MatchFailed(self._game, pair.seed, pair.seat, str(error)) from error

    def goes_on(self, opponent: Player | None) -> bool:
        """Let the others act until the player's seat is asked; return False when the match is over."""
        with self.told():
            while waiting := self._stepper.waiting():
                own = None
                self._others = {}
                for each in waiting:
                    if each.agent == self._played.pair.seat:
                        own = each
                    else:
                        assert opponent is not None
                        (choice,) = opponent.choose([self._turn(each)])
                        self._others[each.agent] = choice.number
                if own is not None:
                    self.asked = self._turn(own)
                    return True
                self._step(self._others)
        return False

    def hear(self, judge: Expert) -> None:
        """Ask an expert what would be right now; one that is lost has no answer."""
        env, agent = self.asked.waiting[:2]
        try:
            self._right = best_actions(judge, env, agent) or frozenset((judge.choose(env, agent),))
        except ExpertLost:
            self._right = frozenset()

    def take(self, choice: Choice) -> None:
        """Do what the player chose."""
        played = self._played
        played.decisions += 1
        played.legal_mass += choice.legal_mass
        played.legal_anyway += choice.is_legal_anyway
        played.judged += bool(self._right)
        played.agreed += choice.number in self._right
        with self.told():
            self._step({**self._others, played.pair.seat: choice.number})

    def closed(self, player: Player) -> Played:
        """End the match, and return it."""
        player.leave(self._env)
        close(self._env)
        return self._played

    def _turn(self, waiting: Waiting) -> Turn:
        pair = self._played.pair
        return Turn(waiting, f"{pair.seed}/{pair.seat}/{waiting.agent}/{self._stepper.num_steps}")

    def _step(self, actions: dict[str, int]) -> None:
        self._played.reward += self._stepper.step(actions).get(self._played.pair.seat, 0.0)


def close(env: Environment) -> None:
    """Close an environment. PettingZoo's can be closed; one that only looks like them need not."""
    if (ends := getattr(env, "close", None)) is not None:
        ends()
