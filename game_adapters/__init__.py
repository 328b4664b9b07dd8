"""One game or one game protocol in words: state, observation and legal actions, and the chosen words back as a number.

    env = make_env("camp", seed=7, blocks=60)
    adapter = load_adapter("camp")
    for agent in env.agent_iter():
        view = adapter.turn(env, agent)
        env.step(None if view is None else view.number(decide(view)))

Importing this package loads no game library; a game's own are imported when its environment is made.
"""

from game_adapters.adapter import (
    ActionOffer,
    GameContract,
    Narrator,
    PettingZooAdapter,
    SharedState,
    TurnView,
)
from game_adapters.errors import GameAdapterError
from game_adapters.registry import GAMES, load_adapter, make_env

__all__ = [
    "GAMES",
    "ActionOffer",
    "GameAdapterError",
    "GameContract",
    "Narrator",
    "PettingZooAdapter",
    "SharedState",
    "TurnView",
    "load_adapter",
    "make_env",
]
