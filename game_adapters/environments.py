"""What an environment shows of itself, AEC or parallel, and what can be wrong with it.

An AEC environment keeps observations and infos and is asked for them; a parallel one returns them from `reset` and
`step` and forgets them, so there the caller hands them in.
"""

import inspect
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.spaces import Dict, Discrete

from game_adapters.errors import (
    AgentNeeded,
    BrokenEnvironment,
    GameAdapterError,
    GameCodeFailed,
    NoEnvironment,
    NotOnTurn,
    ObservationNeeded,
    UnknownAgent,
    UnsupportedActionSpace,
)

# PettingZoo ships no types; what is used of an environment is what its AECEnv and ParallelEnv document.
Environment = Any


@dataclass(frozen=True, slots=True)
class Shown:
    """One live agent that may act now: what the environment shows it, and how many actions it has.

    The environment's numbers of the actions are `first_number` and on.
    """

    agent: str
    observation: object
    info: Mapping[str, Any]
    num_actions: int
    first_number: int


def is_parallel(env: Environment) -> bool:
    """Whether all agents of the environment act at once (PettingZoo's ParallelEnv)."""
    return not hasattr(env, "observe")


@contextmanager
def code_of(game: str, what: str) -> Iterator[None]:
    """Turn what a game's own code raises into GameCodeFailed, with the place; typed errors pass."""
    try:
        yield
    except GameAdapterError:
        raise
    except Exception as error:
        raise GameCodeFailed(game, what, error) from error


def checked_env(game: str, made: object, make: Callable[..., object]) -> Environment:
    """What `make` returned, if it is an environment. Raises NoEnvironment."""
    lacking = [name for name in ("reset", "step", "action_space") if not callable(getattr(made, name, None))]
    if not lacking:
        return made
    said = "None" if made is None else f"a {type(made).__name__}, which has no {lacking[0]}"
    code = getattr(inspect.unwrap(getattr(make, "__func__", make)), "__code__", None)
    raise NoEnvironment(game, said, f"{code.co_filename}:{code.co_firstlineno}" if code else "place unknown")


def live_agents(game: str, env: Environment) -> list[str]:
    """The agents that the environment still counts. Raises BrokenEnvironment before the first reset."""
    try:
        return list(env.agents)
    except AttributeError as error:
        raise BrokenEnvironment(game, "it was not reset. Call env.reset(seed=...) before the first turn.") from error
    except TypeError:
        raise BrokenEnvironment(game, f"its agents are {env.agents!r} instead of a list.") from None


def agent_on_turn(game: str, env: Environment) -> str | None:
    """The agent that an AEC environment waits for, None when the game is over. Raises BrokenEnvironment."""
    agents = live_agents(game, env)
    if not agents:
        return None
    on_turn: str | None = getattr(env, "agent_selection", None)
    if on_turn not in agents:
        raise BrokenEnvironment(
            game, f"it waits for {on_turn!r}, who is not among its agents ({', '.join(map(str, agents))})."
        )
    return on_turn


def look(
    game: str, env: Environment, agent: str | None, observation: object = None, info: Mapping[str, Any] | None = None
) -> Shown | None:
    """What `agent` (AEC default: the one on turn) is shown; None if it is dead or gone.

    Raises BrokenEnvironment, UnknownAgent, NotOnTurn, AgentNeeded, ObservationNeeded, UnsupportedActionSpace,
    GameCodeFailed.
    """
    if is_parallel(env):
        if agent is None:
            raise AgentNeeded(game)
        if agent not in live_agents(game, env):
            _check_was_there(game, env, agent)
            return None
        if observation is None and _has_mask(game, env, agent) and "action_mask" not in (info or {}):
            raise ObservationNeeded(game, agent)
    else:
        on_turn = agent_on_turn(game, env)
        if agent is not None and agent != on_turn and agent not in env.agents:
            _check_was_there(game, env, agent)
            return None
        if on_turn is None:
            return None
        agent = on_turn if agent is None else agent
        if is_over(game, env, agent):
            return None
        if agent != on_turn:
            raise NotOnTurn(game, agent, on_turn)
        with code_of(game, f"observe({agent!r})"):
            observation = env.observe(agent)
        info = table_of(game, env, "infos").get(agent)
    if info is not None and not isinstance(info, Mapping):
        raise BrokenEnvironment(game, f"the info of {agent!r} is {type(info).__name__} instead of a dict.")
    _check_numbers(game, agent, observation)
    space = action_space(game, env, agent)
    return Shown(agent, observation, info or {}, int(space.n), int(space.start))


def action_space(game: str, env: Environment, agent: str) -> Discrete:
    """The agent's action space; raises UnsupportedActionSpace unless it is Discrete."""
    with code_of(game, f"action_space({agent!r})"):
        space = env.action_space(agent)
    if not isinstance(space, Discrete):
        raise UnsupportedActionSpace(game, agent, str(space))
    return space


def reward_since(game: str, env: Environment, agent: str) -> float | None:
    """What the agent gained since it last acted; None where the environment does not keep it.

    Raises BrokenEnvironment if it is no finite number.
    """
    rewards = getattr(env, "_cumulative_rewards", None)  # what env.last() shows of the agent on turn
    return checked_reward(game, agent, rewards[agent]) if isinstance(rewards, dict) and agent in rewards else None


def checked_reward(game: str, agent: str, reward: object) -> float:
    """A reward as a number. Raises BrokenEnvironment if it is none, or not a finite one."""
    try:
        value = float(reward)  # type: ignore[arg-type]  # that is the question
    except (TypeError, ValueError):
        raise BrokenEnvironment(game, f"the reward of {agent!r} is {reward!r} instead of a number.") from None
    if not math.isfinite(value):
        raise BrokenEnvironment(game, f"the reward of {agent!r} is {value}. Rewards must be finite numbers.")
    return value


def is_over(game: str, env: Environment, agent: str) -> bool:
    """Whether an agent of an AEC environment is dead: terminated or truncated. Raises BrokenEnvironment."""
    # Read once each: every wrapper of PettingZoo's passes the question on.
    tables = {name: table_of(game, env, name) for name in ("terminations", "truncations")}
    for name, table in tables.items():
        if agent not in table:
            raise BrokenEnvironment(game, f"{agent!r} is among its agents and not in its {name}.")
    return any(bool(table[agent]) for table in tables.values())


def table_of(game: str, env: Environment, name: str) -> Mapping[str, Any]:
    """What an AEC environment keeps of all agents, as `infos`. Raises BrokenEnvironment if it is no dict."""
    table = getattr(env, name, None)
    if not isinstance(table, Mapping):
        raise BrokenEnvironment(game, f"its {name} are {table!r} instead of a dict with its agents as keys.")
    return table


def _check_was_there(game: str, env: Environment, agent: str) -> None:
    """Raise UnknownAgent for one that cannot have died, as it is none that the environment can have.

    Where it does not say which it can have (PettingZoo lets it make agents as it goes), nobody knows.
    """
    possible = getattr(env, "possible_agents", None)
    if isinstance(possible, Collection) and agent not in possible:
        raise UnknownAgent(game, agent, tuple(map(str, possible)))


def _has_mask(game: str, env: Environment, agent: str) -> bool:
    with code_of(game, f"observation_space({agent!r})"):
        space = env.observation_space(agent)
    return isinstance(space, Dict) and "action_mask" in space.keys()


def _check_numbers(game: str, agent: str, observation: object, where: str = "") -> None:
    """Raise BrokenEnvironment for a NaN; the mask has an error of its own."""
    if isinstance(observation, Mapping):
        for name, part in observation.items():
            if name != "action_mask":
                _check_numbers(game, agent, part, f"{where}[{name!r}]")
    elif isinstance(observation, (np.ndarray, np.floating, float)):
        values = np.asarray(observation)
        if values.dtype.kind == "f" and np.isnan(values).any():
            place = "".join(f"[{index}]" for index in np.argwhere(np.isnan(values))[0])
            raise BrokenEnvironment(game, f"the observation of {agent!r} is NaN at {where}{place or '[()]'}.")
