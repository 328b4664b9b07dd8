"""The camp as a PettingZoo AEC environment: its NPCs act one after the other, once each a tick."""

from typing import Any

import numpy as np
from gymnasium import spaces
from pettingzoo import AECEnv
from pettingzoo.utils import wrappers

from game_adapters.camp import names, rules
from game_adapters.camp.world import MAX_HEALTH, TICKS_PER_DAY, WorldSize, make_world

FOOD_SHOWN = 60
Observation = dict[str, Any]


def env(size: WorldSize, ticks: int) -> AECEnv:
    """The camp with PettingZoo's usual guards: an illegal action ends the match, with -1 for whoever took it."""
    guarded = wrappers.TerminateIllegalWrapper(CampEnv(size, ticks), illegal_reward=-1)
    return wrappers.OrderEnforcingWrapper(wrappers.AssertOutOfBoundsWrapper(guarded))


class CampEnv(AECEnv):  # type: ignore[misc]  # PettingZoo ships no types
    """A camp of the given size for `ticks` ticks. Reward 1 for what the rules ask, -1 for a lost fight or false alarm.

    `world` is the live world, `deeds` what each action number means, and `changed` the JSON Pointers of the parts of
    the state that the last step changed (one or two; the clock aside).
    """

    metadata = {"name": "camp_v0", "render_modes": [], "is_parallelizable": False}

    def __init__(self, size: WorldSize, ticks: int) -> None:
        super().__init__()
        self.size = size
        self.ticks = ticks
        self.render_mode = None
        self.possible_agents = [f"npc_{number}" for number in range(size.npcs)]
        num_actions = 3 + size.regions + size.items + size.units
        self.action_spaces = {agent: spaces.Discrete(num_actions) for agent in self.possible_agents}
        shape = (17 + len(names.WEAPONS) * len(names.KINDS) + 2 * size.units + size.items,)
        self.observation_spaces = {
            agent: spaces.Dict(
                {
                    "observation": spaces.Box(low=0.0, high=1.0, shape=shape, dtype=np.float32),
                    "action_mask": spaces.Box(low=0, high=1, shape=(num_actions,), dtype=np.int8),
                }
            )
            for agent in self.possible_agents
        }
        self._next_seed = int(np.random.default_rng().integers(2**32))

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        """The same object each time."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Space[Any]:
        """The same object each time."""
        return self.action_spaces[agent]

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Makes the world of the seed; without one, of a seed that the last world leaves behind."""
        self.world = make_world(self._next_seed if seed is None else int(seed), self.size)
        self._next_seed = self.world.random.getrandbits(32)
        self.deeds = rules.all_deeds(self.world)
        self.deed_names = [str(deed) for deed in self.deeds]
        self.changed: tuple[str, ...] = ()
        self.agents = self.possible_agents[:]
        self.agent_selection = self.agents[0]
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self.infos: dict[str, dict[str, Any]] = {agent: {} for agent in self.agents}
        self._skip_agent_selection = None

    def observe(self, agent: str) -> Observation:
        """The world as numbers between 0 and 1, and the legal actions (none if the agent is not on turn)."""
        mask = np.zeros(len(self.deeds), dtype=np.int8)
        if agent == self.agent_selection and not any(self.truncations.values()):
            mask[[index for index, deed in enumerate(self.deeds) if rules.is_legal(self.world, agent, deed)]] = 1
        return {"observation": self._numbers(agent), "action_mask": mask}

    def step(self, action: int | None) -> None:
        """Does an action of the agent on turn, then lets one thing happen; ends after the last NPC of the last tick."""
        agent = self.agent_selection
        if self.terminations[agent] or self.truncations[agent]:
            self._was_dead_step(action)
            return
        assert action is not None
        self._cumulative_rewards[agent] = 0.0
        self.rewards = dict.fromkeys(self.agents, 0.0)
        place = self.agents.index(agent)
        tick_ends = place + 1 == len(self.agents)
        next_agent = self.agents[(place + 1) % len(self.agents)]
        self.rewards[agent], touched = rules.act(self.world, agent, self.deeds[int(action)])
        happened = rules.happen(self.world, next_agent, touched, day_ends=tick_ends)
        self.changed = tuple(dict.fromkeys(touched + happened))
        self.world.tick += tick_ends
        if self.world.tick == self.ticks:
            self.truncations = dict.fromkeys(self.agents, True)
        self.agent_selection = next_agent
        self._accumulate_rewards()
        self._deads_step_first()

    def close(self) -> None:
        """Nothing to close."""

    def _numbers(self, agent: str) -> "np.ndarray[Any, Any]":
        """What `describe` says, in the same order for every world of this size; other NPCs' orders are left out."""
        world, npc, ruling = self.world, self.world.npcs[agent], self.world.rules
        place = {region: (index + 1) / (self.size.regions + 1) for index, region in enumerate(world.regions)}
        target = npc.orders.target
        item_index = {item: (index + 1) / (self.size.items + 1) for index, item in enumerate(world.items)}
        values = [
            world.tick / self.ticks,
            (world.tick % TICKS_PER_DAY) / TICKS_PER_DAY,
            float(world.alarm_since is not None),
            min(world.food, FOOD_SHOWN) / FOOD_SHOWN,
            npc.health / MAX_HEALTH,
            place[npc.at],
            (1 + names.WEAPONS.index(npc.sheet.weapon)) / len(names.WEAPONS),
            place[target] if npc.orders.task == "guard" else 0.0,
            item_index[target] if npc.orders.task == "fetch" else 0.0,
            float(ruling.danger == "go home"),
            {"hold": 0.0, "go home": 0.5, "gather": 1.0}[ruling.on_alarm],
            place[npc.sheet.home],
            place[ruling.gather_at],
            ruling.alarm_ticks / 2,
            ruling.food_per_day / 6,
            ruling.food_per_rest / 3,
            ruling.rest_below / MAX_HEALTH,
        ]
        values += [float(kind in ruling.beats[weapon]) for weapon in names.WEAPONS for kind in names.KINDS]
        for unit in world.units.values():
            values += [
                (1 + names.KINDS.index(unit.kind)) / len(names.KINDS),
                0.0 if unit.at is None else place[unit.at],
            ]
        values += [0.0 if item.at is None else place[item.at] for item in world.items.values()]
        return np.array(values, dtype=np.float32)
