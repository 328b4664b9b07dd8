"""Games between two policies, paired by seed and seat, or of one policy alone."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from game_adapters.environments import Environment


class Policy(Protocol):
    """Whoever chooses actions."""

    def choose(self, env: Environment, agent: str) -> int:
        """The number of an action of the agent on turn."""
        ...


@dataclass(frozen=True, slots=True)
class Score:
    """What a policy gained in each pair of games (a seed, each seat once); for one agent alone, in each game."""

    gains: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean gain."""
        return math.fsum(self.gains) / len(self.gains)

    @property
    def error(self) -> float:
        """The standard error of the mean; 0 for a single pair."""
        count = len(self.gains)
        if count < 2:
            return 0.0
        return math.sqrt(math.fsum((gain - self.mean) ** 2 for gain in self.gains) / (count - 1) / count)


def contest(
    make: Callable[[int], Environment], policy: Policy, opponent: Policy | None, games: int, seed: int = 0
) -> Score:
    """Play `games` seeds with the policy in each seat, the opponent in the others (None: the policy itself there).

    `make` returns an environment that was reset with the seed. Where nobody opposes (one agent, or agents that share a
    goal, without an opponent) a seed is played once, and the gain is all agents' together.
    """
    gains = []
    for number in range(seed, seed + games):
        seats: Sequence[str] = make(number).possible_agents
        if opponent is None or len(seats) == 1:
            gains.append(math.fsum(_play(make(number), dict.fromkeys(seats, policy)).values()))
            continue
        results = [
            _play(make(number), {other: policy if other == seat else opponent for other in seats})[seat]
            for seat in seats
        ]
        gains.append(math.fsum(results) / len(seats))
    return Score(tuple(gains))


def _play(env: Environment, policies: dict[str, Policy]) -> dict[str, float]:
    """What each agent gains in a game."""
    totals = dict.fromkeys(env.possible_agents, 0.0)
    for agent in env.agent_iter():
        _, reward, terminated, truncated, _ = env.last()
        totals[agent] += float(reward)
        env.step(None if terminated or truncated else policies[agent].choose(env, agent))
    return totals
