"""Connect four by alpha-beta on two bit boards: a few moves ahead, near the end to it.

A column takes seven bits, six for its places and one that is always empty, so that no line runs over a border.
"""

from collections.abc import Mapping
from typing import TypeVar

from game_adapters.connect_four import NUM_COLUMNS, NUM_ROWS
from game_adapters.environments import Environment
from game_adapters.errors import WrongEnvironment

T = TypeVar("T")

DEPTH = 5
# With so many free places or fewer, the game is looked through to its end.
EXACT = 11
# Positions whose values are kept: games begin alike.
_MOST_KNOWN = 200_000
WIN = 1000.0
_HEIGHT = NUM_ROWS + 1
_PLACES = (1 << NUM_ROWS) - 1
_ORDER = (3, 2, 4, 1, 5, 0, 6)
_LINES = tuple(
    sum(1 << (column + step * dx) * _HEIGHT + row + step * dy for step in range(4))
    for dx, dy in ((1, 0), (0, 1), (1, 1), (1, -1))
    for column in range(NUM_COLUMNS)
    for row in range(NUM_ROWS)
    if column + 3 * dx < NUM_COLUMNS and 0 <= row + 3 * dy < NUM_ROWS
)
# By column, and by which of its places are taken: the lines through one of these places, a bit each.
_LINES_THROUGH = tuple(
    tuple(
        sum(1 << number for number, line in enumerate(_LINES) if line & places << column * _HEIGHT)
        for places in range(1 << NUM_ROWS)
    )
    for column in range(NUM_COLUMNS)
)
# What a line that the other player cannot complete any more is worth, by one's own pieces in it.
_WORTH = (0.0, 0.1, 0.5, 2.0, 0.0)


class ConnectFourExpert:
    """Looks `DEPTH` moves ahead; sees every win and every block within. Knows what it has said of a position."""

    def __init__(self, seed: int = 0, depth: int = DEPTH) -> None:
        self._depth = depth
        self._chosen: dict[tuple[int, int], int] = {}
        self._valued: dict[tuple[int, int], Mapping[int, float]] = {}
        self._promised: dict[tuple[int, int], float] = {}
        self._last: tuple[tuple[int, int], _Search] | None = None

    def choose(self, env: Environment, agent: str) -> int:
        """The best column; of equals the one nearest to the middle."""
        own, other, depth = self._position(env, agent)
        if (known := self._chosen.get((own, other))) is not None:
            return known
        search = self._search_of(own, other)
        best, best_value = -1, -float("inf")
        for column in search.free(own | other):
            value = search.after(own, other, column, depth, best_value, float("inf"))
            if value > best_value:
                best, best_value = column, value
        _keep(self._chosen, (own, other), best)
        return best

    def values(self, env: Environment, agent: str) -> Mapping[int, float]:
        """For each column that is not full: about `WIN` for a win, minus that for a loss, else what lines promise."""
        own, other, depth = self._position(env, agent)
        if (known := self._valued.get((own, other))) is not None:
            return known
        search, infinite = self._search_of(own, other), float("inf")
        values = {c: search.after(own, other, c, depth, -infinite, infinite) for c in search.free(own | other)}
        _keep(self._valued, (own, other), values)
        # Who asks for both asks for one search.
        _keep(self._chosen, (own, other), max(values, key=values.__getitem__))
        return values

    def _search_of(self, own: int, other: int) -> "_Search":
        """The search of a position: one, for who asks for the best column and then for all values."""
        if self._last is None or self._last[0] != (own, other):
            self._last = (own, other), _Search(self._promised)
        return self._last[1]

    def _position(self, env: Environment, agent: str) -> tuple[int, int, int]:
        """The agent's pieces, the other's, and how far to look."""
        board = getattr(env.unwrapped, "board", None)
        if not isinstance(board, list) or len(board) != NUM_ROWS * NUM_COLUMNS:
            raise WrongEnvironment("connect_four", str(env.unwrapped))
        boards = [0, 0]
        for place, cell in enumerate(board):
            if cell:
                row, column = NUM_ROWS - 1 - place // NUM_COLUMNS, place % NUM_COLUMNS
                boards[int(cell) - 1] |= 1 << column * _HEIGHT + row
        own = env.possible_agents.index(agent)
        free = NUM_ROWS * NUM_COLUMNS - (boards[0] | boards[1]).bit_count()
        depth = free if free <= EXACT else self._depth
        return boards[own], boards[1 - own], depth


def _keep(known: dict[tuple[int, int], T], position: tuple[int, int], value: T) -> None:
    if len(known) >= _MOST_KNOWN:
        known.clear()
    known[position] = value


class _Search:
    """One search, with the positions that it has valued; what lines promise is known from others."""

    def __init__(self, promised: dict[tuple[int, int], float]) -> None:
        """`promised` is what earlier searches found of positions that they looked no further from."""
        self._promised = promised
        self._known: dict[tuple[int, int, int], tuple[float, int]] = {}

    @staticmethod
    def free(taken: int) -> list[int]:
        """The columns with room, from the middle outwards."""
        return [column for column in _ORDER if not taken >> column * _HEIGHT + NUM_ROWS - 1 & 1]

    def after(self, own: int, other: int, column: int, depth: int, low: float, high: float) -> float:
        """What a piece in a column is worth to who puts it there, within bounds."""
        taken = own | other
        bottom = 1 << column * _HEIGHT
        own |= (taken + bottom) & _PLACES << column * _HEIGHT & ~taken
        if _has_four(own):
            return WIN + depth
        if (own | other).bit_count() == NUM_ROWS * NUM_COLUMNS:
            return 0.0
        if depth <= 1:
            if (promise := self._promised.get((own, other))) is None:
                promise = _promise(own, other)
                _keep(self._promised, (own, other), promise)
            return promise
        return -self._best(other, own, depth - 1, -high, -low)

    def _best(self, own: int, other: int, depth: int, low: float, high: float) -> float:
        key = (own, other, depth)
        if key in self._known:
            value, bound = self._known[key]
            if bound == 0 or (bound > 0 and value >= high) or (bound < 0 and value <= low):
                return value
        best, floor = -float("inf"), low
        for column in self.free(own | other):
            best = max(best, self.after(own, other, column, depth, floor, high))
            floor = max(floor, best)
            if best >= high:
                break
        self._known[key] = (best, 1 if best >= high else -1 if best <= low else 0)
        return best


def _has_four(board: int) -> bool:
    for step in (1, _HEIGHT, _HEIGHT + 1, _HEIGHT - 1):
        pairs = board & board >> step
        if pairs & pairs >> 2 * step:
            return True
    return False


def _promise(own: int, other: int) -> float:
    mine = theirs = 0
    for column, lines in enumerate(_LINES_THROUGH):
        mine |= lines[own >> column * _HEIGHT & _PLACES]
        theirs |= lines[other >> column * _HEIGHT & _PLACES]
    # Lines with pieces of one player alone, in their order: sums of fractions depend on it.
    worth, left = 0.0, mine ^ theirs
    while left:
        lowest = left & -left
        line = _LINES[lowest.bit_length() - 1]
        if mine & lowest:
            worth += _WORTH[(own & line).bit_count()]
        else:
            worth -= _WORTH[(other & line).bit_count()]
        left ^= lowest
    return worth
