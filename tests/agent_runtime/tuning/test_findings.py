"""Shares, paired differences, and intervals that hold the truth although questions come in clusters."""

import random

import pytest

from agent_runtime.tuning.findings import difference, share_right
from agent_runtime.tuning.scoring import Item


def items(rng: random.Random, num_samples: int, asks: int) -> list[Item]:
    """Right with a chance that whole samples share: 0.2 or 0.9 in the first condition, 0.05 less in the second."""
    made = []
    for sample in range(num_samples):
        chance = rng.choice([0.2, 0.9])
        for ask in range(asks):
            right = (rng.random() < chance, rng.random() < chance - 0.05)
            made.append(Item(sample, ask, "f", "k", 8, 0.0, right))
    return made


def test_a_share_and_a_difference_are_means_over_items() -> None:
    made = [Item(i // 2, i % 2, "f", "k", 8, 0.0, (i % 4 != 0, i % 4 == 1)) for i in range(40)]
    share, less = share_right(made, 0), difference(made, 0, 1)
    assert (share.points, share.items, share.samples) == (75.0, 40, 20)
    assert less.points == pytest.approx(50.0)
    assert less.low is not None and less.high is not None and less.low < 50 < less.high


def test_intervals_hold_the_truth_in_about_95_of_100() -> None:
    rng = random.Random(1)
    held = {"share": 0, "difference": 0}
    for _ in range(300):
        made = items(rng, 40, 8)
        share, less = share_right(made, 0), difference(made, 0, 1)
        held["share"] += abs(share.points - 55) <= (share.half_width or 0)
        held["difference"] += abs(less.points - 5) <= (less.half_width or 0)
    assert all(270 <= count <= 298 for count in held.values()), held


def test_few_samples_have_no_interval_and_none_no_mean() -> None:
    few = share_right([Item(0, i, "f", "k", 8, 0.0, (True,)) for i in range(50)], 0)
    assert (few.points, few.half_width, few.low) == (100.0, None, None)
    assert share_right([], 0).items == 0
