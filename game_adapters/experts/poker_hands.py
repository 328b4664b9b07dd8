"""Hold'em hands: what five to seven cards are worth, and how often two hole cards win against a drawn deal."""

from collections.abc import Sequence
from random import Random

RANKS = "23456789TJQKA"
SUITS = "cdhs"
Strength = tuple[int, ...]
_CARDS = tuple(rank + suit for rank in RANKS for suit in SUITS)
_BOARD = 5
_WHEEL = 1 << RANKS.index("A") | 0b1111


def strength(cards: Sequence[str]) -> Strength:
    """Larger is better: the kind of the best five cards (8 straight flush, 0 high card), then the ranks that count."""
    ranks = [RANKS.index(card[0]) for card in cards]
    for suit in SUITS:
        flush = [rank for rank, card in zip(ranks, cards, strict=True) if card[1] == suit]
        if len(flush) >= 5:
            top = _straight(flush)
            if top is not None:
                return (8, top)
            break
    else:
        flush = []
    counts = [0] * len(RANKS)
    for rank in ranks:
        counts[rank] += 1
    order = sorted(set(ranks), key=lambda rank: (-counts[rank], -rank))
    most, second = counts[order[0]], counts[order[1]]
    if most == 4:
        return (7, order[0], max(rank for rank in order[1:]))
    if most == 3 and second >= 2:
        return (6, order[0], max(rank for rank in order[1:] if counts[rank] >= 2))
    if flush:
        return (5, *sorted(flush, reverse=True)[:5])
    top = _straight(ranks)
    if top is not None:
        return (4, top)
    if most == 3:
        return (3, *order[:3])
    if most == 2 and second == 2:
        return (2, order[0], order[1], max(order[2:]))
    return (1, *order[:4]) if most == 2 else (0, *order[:5])


def equity(hole: Sequence[str], board: Sequence[str], random: Random, draws: int) -> float:
    """The share of the pot that two cards win on average against two others, over drawn deals of what is unknown."""
    known = {*hole, *board}
    rest = [card for card in _CARDS if card not in known]
    missing = _BOARD - len(board)
    won = 0.0
    for _ in range(draws):
        drawn = random.sample(rest, missing + 2)
        full = [*board, *drawn[2:]]
        own, other = strength([*hole, *full]), strength([*drawn[:2], *full])
        won += 1.0 if own > other else 0.5 if own == other else 0.0
    return won / draws


def _straight(ranks: Sequence[int]) -> int | None:
    """The highest rank of a straight; an ace may be its lowest card."""
    bits = 0
    for rank in ranks:
        bits |= 1 << rank
    for top in range(len(RANKS) - 1, 3, -1):
        if bits >> top - 4 & 0b11111 == 0b11111:
            return top
    return 3 if bits & _WHEEL == _WHEEL else None
