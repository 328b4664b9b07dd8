"""Hold'em hands by the thousand: what five to seven cards are worth, and how often two hole cards win.

A hand is four sets of ranks, one a suit, as the bits of four numbers; so a board and two hole cards are joined by `|`.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int32]
RANKS = "23456789TJQKA"
SUITS = "cdhs"
CARDS = tuple(rank + suit for rank in RANKS for suit in SUITS)
_SETS = 1 << len(RANKS)
_BOARD = 5
_BOARD = 5
_BOARD = 5
_WHEEL = 1 << RANKS.index("A") | 0b1111
# The kind of a hand stands above the ranks that make it, and those above the ranks beside them.
_KIND, _MAIN = 2 * len(RANKS), len(RANKS)


def sets_of(cards: Ints) -> Ints:
    """[..., card] (numbers as in `CARDS`) to [suit, ...]: the ranks that each hand has of each suit, as bits."""
    bits = np.int32(1) << cards // len(SUITS)
    suits = [np.bitwise_or.reduce(np.where(cards % len(SUITS) == suit, bits, 0), axis=-1) for suit in range(len(SUITS))]
    return np.stack(suits)


def strengths(sets: Ints) -> Ints:
    """[suit, ...] to [...]: larger is better. The kind (8 straight flush, 0 high card), then the ranks that count."""
    clubs, diamonds, hearts, spades = sets
    black, red = clubs | spades, diamonds | hearts
    both_black, both_red = clubs & spades, diamonds & hearts
    once = black | red
    twice = both_black | both_red | black & red
    thrice = both_black & red | both_red & black
    four = both_black & both_red
    table = _tables()
    flush = np.bitwise_or.reduce(np.where(table.size[sets] >= 5, sets, 0), axis=0)
    straight, straight_flush = table.straight[once], table.straight[flush]
    three = table.top[1][thrice]
    beside_three = table.top[1][twice & ~three]
    two = table.top[2][twice]
    kinds = (
        (straight_flush > 0, 8, straight_flush, 0),
        (four > 0, 7, four, table.top[1][once & ~four]),
        ((three > 0) & (beside_three > 0), 6, three, beside_three),
        (flush > 0, 5, table.top[5][flush], 0),
        (straight > 0, 4, straight, 0),
        (three > 0, 3, three, table.top[2][once & ~three]),
        (two != table.top[1][twice], 2, two, table.top[1][once & ~two]),
        (two > 0, 1, two, table.top[3][once & ~two]),
    )
    found: Ints = table.top[5][once]
    found = found << _MAIN
    for holds, kind, main, beside in reversed(kinds):
        found = np.where(holds, kind << _KIND | main << _MAIN | beside, found)
    return found


def equity(hole: Sequence[str], board: Sequence[str], seed: int, draws: int) -> float:
    """The share of the pot that two cards win on average against two others, over drawn deals of what is unknown."""
    known = [CARDS.index(card) for card in (*hole, *board)]
    rest = np.array([number for number in range(len(CARDS)) if number not in known], dtype=np.int32)
    missing = _BOARD + 2 - len(board)
    drawn = rest[_distinct(np.random.default_rng(seed), len(rest), missing, draws)]
    shared = sets_of(drawn[:, 2:]) | sets_of(np.array(known[2:], dtype=np.int32))[:, None]
    own = strengths(shared | sets_of(np.array(known[:2], dtype=np.int32))[:, None])
    other = strengths(shared | sets_of(drawn[:, :2]))
    return float(0.5 + 0.5 * np.sign(own - other).mean())


def _distinct(random: np.random.Generator, of: int, count: int, draws: int) -> Ints:
    """[draw, place]: `count` different numbers below `of` in each draw, by Floyd's way."""
    drawn = np.empty((draws, count), dtype=np.int32)
    for place in range(count):
        most = of - count + place
        new = random.integers(most + 1, size=draws, dtype=np.int32)
        taken = (drawn[:, :place] == new[:, None]).any(axis=1)
        drawn[:, place] = np.where(taken, most, new)
    # Which numbers they are is even by now, but not in which place.
    return random.permuted(drawn, axis=1)


class _Tables(NamedTuple):
    """What a set of ranks is, by its bits: how many, the highest 1 to 5 of them, the top of its straight."""

    size: Ints
    top: tuple[Ints, ...]
    straight: Ints


@lru_cache(maxsize=1)
def _tables() -> _Tables:
    size = np.array([bits.bit_count() for bits in range(_SETS)], dtype=np.int32)
    top = tuple(np.array([_highest(bits, count) for bits in range(_SETS)], dtype=np.int32) for count in range(6))
    return _Tables(size, top, np.array([_straight(bits) for bits in range(_SETS)], dtype=np.int32))


def _highest(bits: int, count: int) -> int:
    """The highest ranks of a set, at most `count`."""
    while bits.bit_count() > count:
        bits &= bits - 1
    return bits


def _straight(bits: int) -> int:
    """The highest rank of a straight, as a bit; an ace may be its lowest card. 0: there is none."""
    for top in range(len(RANKS) - 1, 3, -1):
        if bits >> top - 4 & 0b11111 == 0b11111:
            return 1 << top
    return 1 << 3 if bits & _WHEEL == _WHEEL else 0
