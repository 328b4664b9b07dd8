"""Leduc hold'em by an equilibrium, which mixes: the seed and what the player knows draw the action."""

from collections.abc import Mapping
from functools import cached_property
from random import Random

from game_adapters import leduc_table as table
from game_adapters.environments import Environment
from game_adapters.errors import WrongEnvironment
from game_adapters.experts.leduc_solver import key, solve

_LETTERS = {"calls": "c", "raises": "r", "folds": "f", "checks": "k"}
_NUMBERS = {"c": table.CALL, "r": table.RAISE, "f": table.FOLD, "k": table.CHECK}
# Of an equilibrium's actions all that it takes at all are worth the same; what it nearly never takes is rounding.
LEAST_SHARE = 0.05


class LeducExpert:
    """Plays an equilibrium, which is computed when it is first asked (about a second)."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed

    def choose(self, env: Environment, agent: str) -> int:
        """An action, drawn by its share."""
        shares = self.shares(env, agent)
        drawn = Random(f"leduc/{self._seed}/{_known(env, agent)}/{env.leduc_bets}")
        return drawn.choices(list(shares), list(shares.values()))[0]

    def shares(self, env: Environment, agent: str) -> Mapping[int, float]:
        """How often the equilibrium takes each action."""
        return {_NUMBERS[letter]: share for letter, share in self._shares[_known(env, agent)].items()}

    def values(self, env: Environment, agent: str) -> Mapping[int, float]:
        """1 for what the equilibrium does, 0 for what it leaves."""
        values = {number: float(share >= LEAST_SHARE) for number, share in self.shares(env, agent).items()}
        # To fold what can be checked for nothing is no part of the tree.
        return {table.FOLD: 0.0, **values}

    @cached_property
    def _shares(self) -> Mapping[str, Mapping[str, float]]:
        return solve()


def _known(env: Environment, agent: str) -> str:
    if not hasattr(env, "leduc_bets"):
        raise WrongEnvironment("leduc", str(env.unwrapped))
    bets = [(bet.round, _LETTERS[bet.action]) for bet in env.leduc_bets if bet.action in _LETTERS]
    rounds = ["".join(letter for name, letter in bets if name == round_name) for round_name in table.ROUNDS]
    board = table.board_card(env)
    actions = rounds[0] if board is None else "/".join(rounds)
    return key(actions, table.card_of(env, agent)[0], None if board is None else board[0])
