"""A stranger's environment, whole: the rules, what agents are told of them, and the game folder `own_env` beside it.

cd examples
hotseat games check own_env:Nim       # is the game sound?
hotseat play own_env:Nim --seed 3     # watch agents play it
python own_env.py [MODEL]             # or in a loop of one's own
"""

import random
import sys

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete
from pettingzoo import AECEnv

from agent_runtime import Seat


class NimEnv(AECEnv):
    """Two players take one, two or three matches from a heap, in turn. Who takes the last one wins."""

    metadata = {"name": "nim_v0"}

    def __init__(self):
        self.possible_agents = ["player_0", "player_1"]
        seen = Dict(observation=Discrete(10), action_mask=Box(0, 1, (3,), np.int8))
        self.observation_spaces = dict.fromkeys(self.possible_agents, seen)
        self.action_spaces = {agent: Discrete(3, start=1) for agent in self.possible_agents}

    def observation_space(self, agent):
        return self.observation_spaces[agent]

    def action_space(self, agent):
        return self.action_spaces[agent]

    def reset(self, seed=None, options=None):
        self.agents = self.possible_agents[:]
        self.agent_selection = self.agents[0]
        self.heap = random.Random(seed).randint(5, 9)
        self.rewards, self._cumulative_rewards = dict.fromkeys(self.agents, 0), dict.fromkeys(self.agents, 0)
        self.terminations, self.truncations = dict.fromkeys(self.agents, False), dict.fromkeys(self.agents, False)
        self.infos = {agent: {} for agent in self.agents}

    def observe(self, agent):
        mask = np.array([n <= self.heap for n in (1, 2, 3)], np.int8)
        return {"observation": np.int64(self.heap), "action_mask": mask}

    def step(self, action):
        agent = self.agent_selection
        if self.terminations[agent]:
            return self._was_dead_step(action)
        self.heap -= int(action)
        self.agent_selection = other = self.possible_agents[agent == "player_0"]
        self._cumulative_rewards[agent] = 0
        if self.heap == 0:
            self.rewards = {agent: 1, other: -1}
            self.terminations = dict.fromkeys(self.agents, True)
        self._accumulate_rewards()


class Nim:
    """What Hotseat has to know of it: the state as JSON, the actions in words, and where the prompts lie."""

    folder = "own_env"

    def make_env(self, seed):
        env = NimEnv()
        env.reset(seed=seed)
        return env

    def describe(self, env, agent):
        return {"heap": {"matches": env.unwrapped.heap}}

    def action_names(self, env, agent):
        return ["take 1", "take 2", "take 3"]


if __name__ == "__main__":
    env = Nim().make_env(seed=3)
    with Seat(Nim(), model=sys.argv[1] if len(sys.argv) > 1 else "embedded", seed=3) as seat:
        for agent in env.agent_iter():
            heap, action = env.heap, seat.act(env, agent)
            print(f"{agent}, {heap} matches left: " + (f"takes {action}" if action else f"reward {env.last()[1]:+}"))
            env.step(action)
