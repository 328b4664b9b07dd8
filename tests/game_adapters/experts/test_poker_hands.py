"""Against rlcard's own judge, and by hand."""

import random

import pytest

from game_adapters.experts.poker_hands import RANKS, SUITS, equity, strength

CARDS = [rank + suit for rank in RANKS for suit in SUITS]


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
    for _ in range(400):
        cards = draw.sample(CARDS, 9)
        hands = [[*cards[:2], *cards[4:]], [*cards[2:4], *cards[4:]]]
        told = compare_hands([[card[1].upper() + card[0] for card in hand] for hand in hands])
        own, other = map(strength, hands)
        assert told == [int(own >= other), int(other >= own)]


def test_the_chances_are_those_of_the_books() -> None:
    draw = random.Random(2)
    assert equity(["Ac", "Ad"], [], draw, 3000) == pytest.approx(0.85, abs=0.03)
    assert equity(["7c", "2d"], [], draw, 3000) == pytest.approx(0.346, abs=0.03)
    assert equity(["Ah", "Kh"], ["Qh", "Jh", "Th"], draw, 50) == 1.0
