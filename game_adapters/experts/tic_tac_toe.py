"""Tic-tac-toe looked through to the end: sooner wins and later losses are better."""

from collections.abc import Mapping

from game_adapters.environments import Environment
from game_adapters.tic_tac_toe import LINES, NAMES, squares_of

Squares = tuple[int, ...]
# The middle first, then corners: of equally good squares the first is taken.
_ORDER = tuple(NAMES.index(name) for name in ("middle center", "top left", "top right", "bottom left", "bottom right"))
_ORDER += tuple(square for square in range(9) if square not in _ORDER)


class TicTacToeExpert:
    """Never loses; knows the value of every position it has seen."""

    def __init__(self, seed: int = 0) -> None:
        self._known: dict[Squares, float] = {}

    def choose(self, env: Environment, agent: str) -> int:
        """The best square; of equals the middle, a corner, an edge."""
        values = self.values(env, agent)
        return max((square for square in _ORDER if square in values), key=values.__getitem__)

    def values(self, env: Environment, agent: str) -> Mapping[int, float]:
        """Between -1 and 1 for each free square."""
        own = 1 + env.possible_agents.index(agent)
        # The agent's marks are 1, the other's 2.
        squares = tuple(0 if square == 0 else 1 if square == own else 2 for square in squares_of(env))
        return {square: self._after(squares, square) for square in range(9) if squares[square] == 0}

    def _after(self, squares: Squares, square: int) -> float:
        """What it is worth to mark a square, for the one who marks it."""
        marked = (*squares[:square], 1, *squares[square + 1 :])
        if any(all(marked[place] == 1 for place in line) for line in LINES.values()):
            return 1.0
        if 0 not in marked:
            return 0.0
        turned = tuple((0, 2, 1)[mark] for mark in marked)
        if turned not in self._known:
            self._known[turned] = max(self._after(turned, free) for free in range(9) if turned[free] == 0)
        return -0.9 * self._known[turned]
