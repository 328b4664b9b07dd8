"""What stands in tables, and below them."""

from agent_runtime.tuning.evaluating.tables import negated, with_interval


def test_a_difference_from_the_other_side_has_its_ends_turned_round() -> None:
    cost = {"points": 2.5, "interval": [-1.0, 6.0], "items": 9, "samples": 9}
    assert with_interval(cost) == "2.50 [-1.00, 6.00]" and with_interval(negated(cost)) == "-2.50 [-6.00, 1.00]"
    assert negated(negated(cost)) == cost
    assert with_interval(negated({"mean": 0.0, "interval": [None, None]})) == "0.00"
