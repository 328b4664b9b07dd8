"""A plain PettingZoo loop whose agents are language models, in this process: no server, no socket.

    python examples/pettingzoo_loop.py [MODEL]

First a match of camp, as any PettingZoo policy would play it; then four at once, their turns in one forward.
"""

import sys

import numpy as np

from agent_runtime import Seat
from game_adapters import make_env


def one_match(seat: Seat) -> None:
    """Play a match, and show how sure the model is of what it does."""
    env = make_env("camp", seed=7, npcs=2, blocks=24, ticks=2)
    for agent in env.agent_iter():
        shares = seat.distribution(env, agent)  # float64 [num_actions]: 0 where illegal; None for a dead agent
        action = seat.act(env, agent)  # draws from just that, and computes nothing again; None for a dead agent
        if shares is not None and seat.account is not None:
            legal = shares[shares > 0]
            print(f"{agent} takes action {action}: p {shares[action]:.2f}, {len(legal)} are legal,", end=" ")
            print(f"entropy {-np.sum(legal * np.log(legal)):.2f} nats; {seat.account.tokens_computed} tokens computed")
        env.step(action)


def many_matches(seat: Seat, num_matches: int, num_steps: int) -> None:
    """Play matches side by side: all turns of a step share a forward."""
    envs = [make_env("camp", seed=seed, npcs=2, blocks=24) for seed in range(num_matches)]
    rewards = np.zeros(num_matches)
    for _ in range(num_steps):
        agents = [env.agent_selection for env in envs]
        actions = seat.act_many([(env, agent) for env, agent in zip(envs, agents, strict=True)])
        for place, env in enumerate(envs):
            env.step(actions[place])
            rewards[place] += env.rewards[agents[place]]
    print(f"{num_matches} matches at once, {num_steps} steps each: mean reward {rewards.mean():+.2f}")


if __name__ == "__main__":
    with Seat("camp", model=sys.argv[1] if len(sys.argv) > 1 else "embedded", seed=7, mode="star") as seat:
        one_match(seat)
        many_matches(seat, num_matches=4, num_steps=2)
