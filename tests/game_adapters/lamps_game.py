"""A whole small game for tests: players switch lamps, each has a colour nobody else knows. AEC and parallel.

What a test wants to be wrong with it, a subclass says.
"""

from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, Space
from pettingzoo import AECEnv, ParallelEnv

NUM_LAMPS = 3
COLOURS = ("red", "green", "blue")
ACTIONS = ["pass", *(f"switch lamp {number}" for number in range(NUM_LAMPS))]


class Room:
    """The rules, without an environment: who sees what is told apart by the contract."""

    def __init__(self, agents: list[str], seed: int) -> None:
        random = Random(seed)
        self.lit = [random.random() < 0.5 for _ in range(NUM_LAMPS)]
        self.secrets = {agent: random.choice(COLOURS) for agent in agents}
        self.last: int | None = None
        self.round = 1

    def act(self, action: int) -> float:
        if action == 0:
            return 0.0
        self.last = action - 1
        self.lit[self.last] = not self.lit[self.last]
        return 1.0 if self.lit[self.last] else -1.0

    def mask(self) -> "np.ndarray[Any, Any]":
        """Nobody switches the lamp that was switched last."""
        mask = np.ones(1 + NUM_LAMPS, dtype=np.int8)
        if self.last is not None:
            mask[1 + self.last] = 0
        return mask

    def seen(self) -> "np.ndarray[Any, Any]":
        return np.array([*self.lit, self.round / 100], dtype=np.float32)


def _observation_space() -> Space[Any]:
    return Dict(
        {
            "observation": Box(0, 1, shape=(NUM_LAMPS + 1,), dtype=np.float32),
            "action_mask": Box(0, 1, shape=(1 + NUM_LAMPS,), dtype=np.int8),
        }
    )


class LampsEnv(AECEnv):  # type: ignore[misc]
    """Players act one after the other; the first one dies half-way if `dies` is set."""

    metadata = {"name": "lamps_v0", "render_modes": [], "is_parallelizable": True}

    def __init__(self, players: int = 2, rounds: int = 4, dies: bool = False) -> None:
        super().__init__()
        self.rounds, self.dies, self.render_mode = rounds, dies, None
        self.possible_agents = [f"player_{number}" for number in range(players)]
        self.action_spaces: dict[str, Any] = {agent: Discrete(1 + NUM_LAMPS) for agent in self.possible_agents}
        self.observation_spaces: dict[str, Any] = {agent: _observation_space() for agent in self.possible_agents}

    def observation_space(self, agent: str) -> Any:
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> Any:
        return self.action_spaces[agent]

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        self.room = Room(self.possible_agents, 0 if seed is None else seed)
        self.agents = self.possible_agents[:]
        self.agent_selection = self.agents[0]
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self.infos: dict[str, dict[str, Any]] = {agent: {} for agent in self.agents}
        self._skip_agent_selection = None

    def observe(self, agent: str) -> Any:
        return {"observation": self.room.seen(), "action_mask": self.room.mask()}

    def step(self, action: int | None) -> None:
        agent = self.agent_selection
        if self.terminations[agent] or self.truncations[agent]:
            self._was_dead_step(action)
            return
        assert action is not None
        self._cumulative_rewards[agent] = 0.0
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self.rewards[agent] = self.room.act(int(action))
        place = self.agents.index(agent)
        if place == len(self.agents) - 1:
            self.room.round += 1
            if self.dies and self.room.round == 1 + self.rounds // 2:
                self.terminations[self.possible_agents[0]] = True
            if self.room.round > self.rounds:
                self.truncations = dict.fromkeys(self.agents, True)
        following = [*self.agents[place + 1 :], *self.agents[: place + 1]]
        self.agent_selection = next((each for each in following if not self.terminations[each]), agent)
        self._accumulate_rewards()
        self._deads_step_first()

    def render(self) -> None:
        """Shows nothing."""

    def close(self) -> None:
        """Closes nothing."""


class ParallelLamps(ParallelEnv):  # type: ignore[misc]
    """The same, all at once; the first player leaves half-way."""

    metadata = {"name": "parallel_lamps_v0", "render_modes": []}

    def __init__(self, players: int = 2, rounds: int = 4, masked: bool = True) -> None:
        self.rounds, self.masked, self.render_mode = rounds, masked, None
        self.possible_agents = [f"player_{number}" for number in range(players)]
        self.action_spaces: dict[str, Any] = {agent: Discrete(1 + NUM_LAMPS) for agent in self.possible_agents}
        spaces = _observation_space()
        self.observation_spaces: dict[str, Any] = {
            agent: spaces if masked else spaces["observation"]  # type: ignore[index]
            for agent in self.possible_agents
        }

    def observation_space(self, agent: str) -> Any:
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> Any:
        return self.action_spaces[agent]

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.room = Room(self.possible_agents, 0 if seed is None else seed)
        self.agents = self.possible_agents[:]
        return self._seen(), {agent: {} for agent in self.agents}

    def _seen(self) -> dict[str, Any]:
        whole = {"observation": self.room.seen(), "action_mask": self.room.mask()}
        return {agent: whole if self.masked else whole["observation"] for agent in self.agents}

    def step(self, actions: dict[str, int]) -> Any:
        acting = self.agents[:]
        rewards = {agent: self.room.act(int(actions[agent])) for agent in acting}
        self.room.round += 1
        leaves = self.room.round == 1 + self.rounds // 2
        terminations = {agent: leaves and agent == self.possible_agents[0] for agent in acting}
        truncations = dict.fromkeys(acting, self.room.round > self.rounds)
        seen = self._seen()
        self.agents = [agent for agent in acting if not (terminations[agent] or truncations[agent])]
        return seen, rewards, terminations, truncations, {agent: {} for agent in acting}


class Lamps:
    """The contract, with all that is optional."""

    folder: Path | str = "lamps"

    def make_env(self, seed: int, *, players: int = 2, rounds: int = 4) -> Any:
        env = LampsEnv(players, rounds)
        env.reset(seed=seed)
        return env

    def describe(self, env: Any, agent: str) -> Any:
        return _state(env, [agent])

    def describe_match(self, env: Any) -> Any:
        return _state(env, env.possible_agents)

    def sight(self, agent: str) -> tuple[str, ...]:
        return ("!/secrets", f"/secrets/{agent}")

    def action_names(self, env: Any, agent: str) -> list[str]:
        return ACTIONS[:]

    def observation(self, env: Any, agent: str) -> str:
        return f"You are {agent}."

    def action_texts(self, env: Any, agent: str) -> list[str]:
        return [""] * len(ACTIONS)

    def vary_hidden(self, env: Any, agent: str, random: Random) -> bool:
        secrets = env.unwrapped.room.secrets
        for other in secrets:
            if other != agent:
                secrets[other] = random.choice([colour for colour in COLOURS if colour != secrets[other]])
        return len(secrets) > 1


class PlainLamps:
    """The contract with nothing but what it needs."""

    folder = "lamps"

    def describe(self, env: Any, agent: str) -> Any:
        return _state(env, [agent])

    def action_names(self, env: Any, agent: str) -> list[str]:
        return ACTIONS[:]


def _state(env: Any, eyes: list[str]) -> Any:
    room: Room = env.unwrapped.room
    return {
        "lamps": {f"lamp_{number}": "on" if lit else "off" for number, lit in enumerate(room.lit)},
        "secrets": {agent: room.secrets[agent] for agent in eyes},
        "round": room.round,
    }
