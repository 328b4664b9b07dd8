"""Policies that play our games well, and two that do not: where the right answers of samples come from.

    env, expert = make_env("leduc", seed=7), load_expert("leduc", seed=1)
    for agent in env.agent_iter():
        env.step(expert.choose(env, agent) if env.agents and not env.terminations[agent] else None)

An expert answers about the agent on turn and knows what that agent may know: in hold'em and Leduc its own cards, never
the other's. Its choice depends on its seed and on that moment alone, so equal seeds give equal games in any order.

    texas_holdem   hand strength over drawn deals, pot odds, and figures found by play
    leduc          an equilibrium among players who err now and then, by CFR+
    connect_four   alpha-beta, exact near the end
    tic_tac_toe    all games to their end
    camp           the camp's rules, read off the state
    textworld      TextWorld's own walkthrough, which knows the map
    babyai         minigrid's bot, which plans on what it has seen
    open_spiel     Monte-Carlo tree search
"""

from game_adapters.experts.baselines import ConstantPolicy, RandomPolicy, best_constant, offered_answers
from game_adapters.experts.contest import Policy, Score, contest
from game_adapters.experts.loading import EXPERTS, Expert, Mixer, Valuer, best_actions, load_expert

__all__ = [
    "EXPERTS",
    "ConstantPolicy",
    "Expert",
    "Mixer",
    "Policy",
    "RandomPolicy",
    "Score",
    "Valuer",
    "best_actions",
    "best_constant",
    "contest",
    "load_expert",
    "offered_answers",
]
