"""Any game that can say what is legal and do it, as a PettingZoo AEC environment.

TextWorld, BabyAI and OpenSpiel each have a loop of their own; what is theirs stands in a `Core`, and all that
PettingZoo wants beyond it stands here, once.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from gymnasium import spaces
from pettingzoo import AECEnv
from pettingzoo.utils import wrappers


class Core(Protocol):
    """A game of which one agent after the other makes a choice among numbered actions."""

    name: str
    num_actions: int
    num_numbers: int

    @property
    def agents(self) -> Sequence[str]:
        """Everybody who plays, in order."""
        ...

    @property
    def to_move(self) -> str:
        """Who is to choose."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether the game has ended by its own rules."""
        ...

    @property
    def is_cut(self) -> bool:
        """Whether it has ended because it has gone on for long enough."""
        ...

    def begin(self, seed: int) -> None:
        """Start a game; all that is random in it comes from the seed."""
        ...

    def legal(self) -> Sequence[int]:
        """The numbers of what `to_move` may do, ascending, at least one."""
        ...

    def act(self, action: int) -> dict[str, float]:
        """Do it, and return what each agent gained by it."""
        ...

    def numbers(self, agent: str) -> Sequence[float]:
        """`num_numbers` numbers between 0 and 1 about what the agent sees, for those who learn from numbers."""
        ...


def env(core: Core) -> AECEnv:
    """The game with PettingZoo's usual guards: an illegal action ends it, with -1 for whoever took it."""
    guarded = wrappers.TerminateIllegalWrapper(CoreEnv(core), illegal_reward=-1)
    return wrappers.OrderEnforcingWrapper(wrappers.AssertOutOfBoundsWrapper(guarded))


class CoreEnv(AECEnv):  # type: ignore[misc]  # PettingZoo ships no types
    """A core as an environment. `seed` and `actions` are what led here: with them the same moment is made again."""

    def __init__(self, core: Core) -> None:
        super().__init__()
        self.core = core
        self.metadata = {"name": f"{core.name}_v0", "render_modes": [], "is_parallelizable": False}
        self.render_mode = None
        self.possible_agents = list(core.agents)
        self.action_spaces = {agent: spaces.Discrete(core.num_actions) for agent in core.agents}
        self.observation_spaces = {
            agent: spaces.Dict(
                {
                    "observation": spaces.Box(low=0.0, high=1.0, shape=(core.num_numbers,), dtype=np.float32),
                    "action_mask": spaces.Box(low=0, high=1, shape=(core.num_actions,), dtype=np.int8),
                }
            )
            for agent in core.agents
        }
        self.seed = int(np.random.default_rng().integers(2**32))

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        """The same object each time."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Space[Any]:
        """The same object each time."""
        return self.action_spaces[agent]

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Begin the game of a seed; without one, of a seed that follows from the last."""
        self.seed = int(np.random.default_rng(self.seed).integers(2**32)) if seed is None else int(seed)
        self.core.begin(self.seed)
        self.actions: list[int] = []
        self.agents = self.possible_agents[:]
        self.agent_selection = self.core.to_move
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self.infos: dict[str, dict[str, Any]] = {agent: {} for agent in self.agents}
        self._skip_agent_selection = None

    def observe(self, agent: str) -> dict[str, Any]:
        """The agent's numbers, and what it may do (nothing if it is not on turn)."""
        mask = np.zeros(self.core.num_actions, dtype=np.int8)
        if agent == self.agent_selection and not self.core.is_over and not self.core.is_cut:
            mask[list(self.core.legal())] = 1
        return {"observation": np.array(self.core.numbers(agent), dtype=np.float32), "action_mask": mask}

    def step(self, action: int | None) -> None:
        """Do an action of the agent on turn."""
        agent = self.agent_selection
        if self.terminations[agent] or self.truncations[agent]:
            self._was_dead_step(action)
            return
        assert action is not None
        self._cumulative_rewards[agent] = 0.0
        self.rewards = {**dict.fromkeys(self.agents, 0.0), **self.core.act(int(action))}
        self.actions.append(int(action))
        if self.core.is_over:
            self.terminations = dict.fromkeys(self.agents, True)
        elif self.core.is_cut:
            self.truncations = dict.fromkeys(self.agents, True)
        else:
            self.agent_selection = self.core.to_move
        self._accumulate_rewards()
        self._deads_step_first()

    def close(self) -> None:
        """Nothing to close: no window is ever opened."""
