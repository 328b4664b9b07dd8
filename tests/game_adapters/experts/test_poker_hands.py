"""Against rlcard's own judge, and by hand."""

import random
from collections.abc import Sequence

import numpy as np
import pytest

from game_adapters.experts.poker_hands import CARDS, equity, sets_of, strengths


def strength(cards: Sequence[str]) -> int:
    return int(strengths(sets_of(np.array([CARDS.index(card) for card in cards], dtype=np.int32))))


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ("9h 8h 7h 6h 5h 2c 2d", "Ac Ad Ah As Kc 2d 3h"),
        ("Ac Ad Ah As 2c 3d 4h", "Kc Kd Kh Ks Qc Qd Qh"),
        ("2c 2d 2h 3s 3c 9d 8h", "Ah Kh Qh Jh 9h 2c 3d"),
        ("Ah 9h 7h 4h 2h Kc Kd", "Ac Kd Qh Js Tc 2d 3h"),
        ("6c 5d 4h 3s 2c Kd Qh", "Ac 5d 4h 3s 2c Kd Qh"),
        ("Ac 5d 4h 3s 2c Kd Qh", "Ac Ad Ah Ks Qc 8d 7h"),
        ("3c 3d 2h 2s Ac Kd Qh", "Ac Ad Kh Qs Jc 9d 8h"),
        ("Kc Kd 7h 7s Ac 4d 3h", "Kc Kd 7h 7s Qc 4d 3h"),
        ("Ac Kd Qh Js 9c 4d 2h", "Ac Kd Qh Js 8c 4d 2h"),
    ],
)
def test_a_better_hand_is_stronger(better: str, worse: str) -> None:
    assert strength(better.split()) > strength(worse.split())


def test_it_agrees_with_rlcards_judge() -> None:
    from rlcard.games.limitholdem.utils import compare_hands

    draw = random.Random(1)
    deals = [draw.sample(range(len(CARDS)), 9) for _ in range(400)]
    hands = np.array([[[*cards[:2], *cards[4:]], [*cards[2:4], *cards[4:]]] for cards in deals], dtype=np.int32)
    for pair, (own, other) in zip(hands, strengths(sets_of(hands)), strict=True):
        told = compare_hands([[CARDS[card][1].upper() + CARDS[card][0] for card in hand] for hand in pair])
        assert told == [int(own >= other), int(other >= own)]


def test_the_chances_are_those_of_the_books() -> None:
    assert equity(["Ac", "Ad"], [], 2, 20_000) == pytest.approx(0.852, abs=0.01)
    assert equity(["7c", "2d"], [], 2, 20_000) == pytest.approx(0.346, abs=0.01)
    assert equity(["Ah", "Kh"], ["Qh", "Jh", "Th"], 2, 50) == 1.0
    assert equity(["2c", "3d"], ["Qh", "Jh", "Th", "Kh", "Ah"], 2, 50) == 0.5


def test_what_is_drawn_is_as_good_as_everything_there_is() -> None:
    """On the river all 990 hands that the other may hold can be counted."""
    hole, board = ["8s", "7d"], ["9c", "6h", "2s", "Kd", "8h"]
    rest = [card for card in CARDS if card not in {*hole, *board}]
    own = strength([*hole, *board])
    others = [strength([one, two, *board]) for place, one in enumerate(rest) for two in rest[place + 1 :]]
    counted = sum(1.0 if own > other else 0.5 if own == other else 0.0 for other in others) / len(others)
    assert equity(hole, board, 3, 20_000) == pytest.approx(counted, abs=0.01)
    assert equity(hole, board, 3, 500) == equity(hole, board, 3, 500) != equity(hole, board, 4, 500)
