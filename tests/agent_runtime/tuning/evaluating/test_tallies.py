"""Shares and paired differences from sums per sample, and intervals that hold the truth although questions come in
clusters."""

import json
import random

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runtime.replay.figures import student_t
from agent_runtime.tuning.evaluating.scoring import Item
from agent_runtime.tuning.evaluating.tallies import ALL, Tally, joined_by_kind, of_all, tallies_of

NAMES = ("full", "star")


def items(rng: random.Random, num_samples: int, asks: int) -> list[Item]:
    """Right with a chance that whole samples share: 0.2 or 0.9 in the first condition, 0.05 less in the second."""
    made = []
    for sample in range(num_samples):
        chance = rng.choice([0.2, 0.9])
        for ask in range(asks):
            right = (rng.random() < chance, rng.random() < chance - 0.05)
            made.append(Item(sample, ask, "f", rng.choice("ab"), 8, 0.0, right))
    return made


def tally(made: list[Item], num_samples: int) -> Tally:
    return Tally.of_items("k", NAMES, made, num_samples)


def test_a_share_and_a_difference_are_means_over_items() -> None:
    made = tally([Item(i // 2, i % 2, "f", "k", 8, 0.0, (i % 4 != 0, i % 4 == 1)) for i in range(40)], 20)
    share, less = made.share("full"), made.above("full", made, "star")
    assert (share.points, share.items, share.samples) == (75.0, 40, 20)
    assert less.points == pytest.approx(50.0)
    assert less.low is not None and less.high is not None and less.low < 50 < less.high


def test_intervals_hold_the_truth_in_about_95_of_100() -> None:
    rng = random.Random(1)
    held = {"share": 0, "difference": 0}
    for _ in range(300):
        made = tally(items(rng, 40, 8), 40)
        share, less = made.share("full"), made.above("full", made, "star")
        held["share"] += abs(share.points - 55) <= (share.half_width or 0)
        held["difference"] += abs(less.points - 5) <= (less.half_width or 0)
    assert all(270 <= count <= 298 for count in held.values()), held


@given(
    st.lists(
        st.integers(0, 6).flatmap(
            lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(0, n), st.booleans(), st.booleans())
        ),
        min_size=5,
        max_size=40,
    )
)
def test_models_are_paired_over_the_samples_that_both_have_answered(
    samples: list[tuple[int, int, int, bool, bool]],
) -> None:
    """Against the textbook: the linearized variance of a ratio of means, over whole samples."""

    def kept(number: int, has: int) -> Tally:
        counts = tuple(each[0] * each[has] for each in samples)
        right = tuple(each[number] * each[has] for each in samples)
        return Tally("k", counts, {"full": right}, 0.0, 0, {"full": 0.0})

    one, other = kept(1, 3), kept(2, 4)
    found = one.above("full", other, "full")
    both = numpy.array([each[:3] for each in samples if each[0] and each[3] and each[4]], float).reshape(-1, 3)
    assert (found.items, found.samples) == (both[:, 0].sum(), len(both))
    if len(both) < 5:
        assert found.half_width is None
        return
    ratio = (both[:, 1] - both[:, 2]).sum() / both[:, 0].sum()
    residual = both[:, 1] - both[:, 2] - ratio * both[:, 0]
    error = numpy.sqrt(len(both) * residual.var(ddof=1)) / both[:, 0].sum()
    assert found.points == pytest.approx(100 * ratio)
    assert found.half_width == pytest.approx(100 * student_t(len(both) - 1) * error, abs=1e-4)


def test_samples_with_other_items_are_not_paired() -> None:
    one = Tally("k", (2, 3), {"full": (1, 1)}, 0.0, 0, {"full": 0.0})
    other = Tally("k", (2, 4), {"full": (1, 1)}, 0.0, 0, {"full": 0.0})
    with pytest.raises(ValueError, match="other numbers of k"):
        one.above("full", other, "full")


def test_files_joined_are_as_if_their_samples_stood_in_one() -> None:
    rng = random.Random(2)
    made = items(rng, 30, 6)
    apart = [
        tallies_of(NAMES, [each for each in made if each.sample < 10], 10, ()),
        tallies_of(
            NAMES,
            [
                Item(each.sample - 10, each.ask, "f", each.kind, 8, 0.0, each.right)
                for each in made
                if each.sample >= 10
            ],
            20,
            (),
        ),
    ]
    assert joined_by_kind(apart, ()) == tallies_of(NAMES, made, 30, ())
    assert of_all(joined_by_kind(apart, ())).kind == ALL


def test_a_cell_is_read_back_and_one_that_was_changed_is_not() -> None:
    [made] = tallies_of(NAMES, [Item(n, 0, "f", "k", 8, 0.1, (True, n < 3), (0.5, 0.25)) for n in range(7)], 8, ())
    cell = json.loads(json.dumps(made.cell_with_sums()))
    assert Tally.of_cell(cell) == made
    assert cell["sums"]["items"] == "1 1 1 1 1 1 1 0" and cell["legal_mass"] == {"full": 0.5, "star": 0.25}
    cell["sums"]["right"]["star"] = "1 1 1 1 0 0 0 0"
    with pytest.raises(ValueError, match="do not add up"):
        Tally.of_cell(cell)


def test_some_samples_alone_keep_their_numbers() -> None:
    made = Tally("k", (2, 3, 1), {"full": (1, 3, 0)}, 0.6, 0, {"full": 0.0})
    some = made.of_samples([True, False, True])
    assert (some.items, some.right["full"], some.chance) == ((2, 0, 1), (1, 0, 0), pytest.approx(0.3))
    assert made.of_samples([True] * 3) is made
