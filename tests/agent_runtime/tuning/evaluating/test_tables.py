"""What stands in tables, and below them."""

from agent_runtime.tuning.evaluating.tables import negated, on_few, with_interval


def test_a_difference_from_the_other_side_has_its_ends_turned_round() -> None:
    cost = {"points": 2.5, "interval": [-1.0, 6.0], "items": 9, "samples": 9}
    assert with_interval(cost) == "2.50 [-1.00, 6.00]" and with_interval(negated(cost)) == "-2.50 [-6.00, 1.00]"
    assert negated(negated(cost)) == cost
    assert with_interval(negated({"mean": 0.0, "interval": [None, None]})) == "0.00"


def test_few_samples_are_told_of_below_a_table() -> None:
    assert on_few([], "samples") == on_few([30, 400], "samples") == ""
    some, fewer, one = (on_few([100, number], "seeds") for number in (29, 4, 1))
    assert "as few as 29 seeds: 95 % intervals over fewer than 30 are not to be relied on." in some
    assert "as few as 4 seeds: " in fewer and fewer.endswith("relied on, and over fewer than 5 there is none.\n")
    assert "as few as 1 seed: " in one
