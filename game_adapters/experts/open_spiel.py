"""OpenSpiel's games by its own Monte-Carlo tree search, which proves wins where it can."""

import hashlib

import pyspiel

from game_adapters.environments import Environment
from game_adapters.open_spiel import core_of

SIMULATIONS = 1000
# A game of othello is some 60 moves long, and so is each simulation.
_OF_LONG_GAMES = {"othello": 200}
_EXPLORATION = 1.5
_MEGABYTES = 64


class OpenSpielExpert:
    """Searches anew for each move, from the seed and the position alone."""

    def __init__(self, seed: int = 0, simulations: int | None = None) -> None:
        self._seed = seed
        self._simulations = simulations

    def choose(self, env: Environment, agent: str) -> int:
        """The move that was looked at most."""
        core = core_of(env)
        digest = hashlib.blake2b(f"{self._seed}/{core.title}/{core.state}".encode(), digest_size=4).digest()
        seed = int.from_bytes(digest) >> 1
        evaluator = pyspiel.RandomRolloutEvaluator(1, seed)
        simulations = self._simulations or _OF_LONG_GAMES.get(core.title, SIMULATIONS)
        bot = pyspiel.MCTSBot(core.spiel, evaluator, _EXPLORATION, simulations, _MEGABYTES, True, seed + 1, False)
        return int(bot.step(core.state))
