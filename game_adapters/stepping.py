"""An environment stepped from one moment to the next, AEC and parallel alike.

stepper = Stepper("camp", env, seed=7)
while waiting := stepper.waiting():
    stepper.step({turn.agent: decide(turn) for turn in waiting})
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from game_adapters.environments import (
    Environment,
    agent_on_turn,
    checked_reward,
    code_of,
    is_over,
    is_parallel,
    live_agents,
    table_of,
)
from game_adapters.errors import BrokenEnvironment, GameCodeFailed


class Waiting(NamedTuple):
    """An agent that an environment waits for; its observation and info are there in parallel environments only."""

    env: Environment
    agent: str
    observation: object = None
    info: Mapping[str, Any] | None = None


class Stepper:
    """Steps one environment. Every method raises GameAdapterError for what is wrong with it."""

    def __init__(self, game: str, env: Environment, seed: int | None = None) -> None:
        """Take an environment that was reset. A parallel one is reset again, with `seed`: only then does it say what
        its agents see."""
        self.game = game
        self.env = env
        self.num_steps = 0
        self._seen: Mapping[str, object] = {}
        self._told: Mapping[str, Mapping[str, Any]] = {}
        if is_parallel(env):
            with code_of(game, f"reset(seed={seed})"):
                returned = env.reset(seed=seed)
            self._seen, self._told = self._tables(f"reset(seed={seed})", returned, "observations", "infos")

    def waiting(self) -> list[Waiting]:
        """The agents that may act now: the one on turn, or all of a parallel environment; none when the game is over.

        Dead agents of an AEC environment are stepped with None on the way, as PettingZoo wants it.
        """
        if is_parallel(self.env):
            agents = live_agents(self.game, self.env)
            return [Waiting(self.env, agent, self._seen.get(agent), self._told.get(agent)) for agent in agents]
        while (agent := agent_on_turn(self.game, self.env)) is not None and is_over(self.game, self.env, agent):
            try:
                self.env.step(None)
            except Exception as error:
                raise GameCodeFailed(self.game, f"step(None) for {agent!r}, who is dead,", error) from error
            if agent in self.env.agents:
                raise BrokenEnvironment(
                    self.game, f"{agent!r} is dead and stays among its agents after step(None). Remove it there."
                )
        return [] if agent is None else [Waiting(self.env, agent)]

    def step(self, actions: Mapping[str, int], names: Mapping[str, str] | None = None) -> dict[str, float]:
        """Do what the waiting agents do, by their names; return what each agent gained by it.

        `names` are the actions in words, for the error if the environment raises.
        """
        names = names or {}
        said = ", ".join(f"{agent}: {number} {names.get(agent, '')}".strip() for agent, number in actions.items())
        is_aec = not is_parallel(self.env)
        action: Any = next(iter(actions.values())) if is_aec else dict(actions)
        try:
            returned = self.env.step(action)
        except Exception as error:
            raise GameCodeFailed(self.game, f"step({said})", error) from error
        self.num_steps += 1
        if is_aec:
            rewards = table_of(self.game, self.env, "rewards")
        else:
            names_of_tables = ("observations", "rewards", "terminations", "truncations", "infos")
            self._seen, rewards, _, _, self._told = self._tables(f"step({said})", returned, *names_of_tables)
        return {agent: checked_reward(self.game, agent, reward) for agent, reward in rewards.items()}

    def _tables(self, asked: str, returned: object, *names: str) -> tuple[Mapping[str, Any], ...]:
        """What a parallel environment returned, if it is so many dicts. Raises BrokenEnvironment."""
        if isinstance(returned, tuple) and len(returned) == len(names):
            if all(isinstance(table, Mapping) for table in returned):
                return returned
            wrong = next(name for name, table in zip(names, returned, strict=True) if not isinstance(table, Mapping))
            raise BrokenEnvironment(self.game, f"the {wrong} that {asked} returned are no dict with agents as keys.")
        raise BrokenEnvironment(self.game, f"{asked} must return {', '.join(names[:-1])} and {names[-1]}.")
