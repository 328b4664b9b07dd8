"""What was asked in training, and what is held out, are sums of their own."""

from agent_runtime.tuning.evaluating.tallies import ALL, ASKED, Tally, in_order, joined_by_kind, with_asked


def tally(kind: str, items: tuple[int, ...], full: tuple[int, ...], star: tuple[int, ...]) -> Tally:
    return Tally(kind, items, {"full": full, "star": star}, 0.5 * sum(items), 0, {"full": 0.0, "star": 0.0})


ONE = tally("unit_fact", (2, 3), (2, 3), (2, 2))
OTHER = tally("linked", (1, 1), (1, 0), (0, 0))
HELD_OUT = tally("quest", (2, 0), (2, 0), (0, 0))
WHOLE = tally(ALL, (5, 4), (5, 3), (2, 2))


def test_all_kinds_but_the_one_held_out_are_sums_behind_those_of_all() -> None:
    found = with_asked([WHOLE, OTHER, HELD_OUT, ONE])
    assert [each.kind for each in found] == [ALL, ASKED, "linked", "quest", "unit_fact"]
    assert (found[1].items, dict(found[1].right)) == ((3, 4), {"full": (3, 3), "star": (2, 2)})
    assert found[1].chance == ONE.chance + OTHER.chance and found[1].num_items == ONE.num_items + OTHER.num_items
    assert with_asked(found) == found, "they are there already"


def test_without_a_kind_held_out_or_with_one_other_kind_there_is_nothing_to_tell_apart() -> None:
    assert with_asked([WHOLE, OTHER, ONE]) == [WHOLE, OTHER, ONE]
    two = [tally(ALL, (4, 3), (4, 3), (2, 2)), HELD_OUT, ONE]
    assert with_asked(two) == two
    assert with_asked([HELD_OUT]) == [HELD_OUT]


def test_files_are_joined_by_what_each_has() -> None:
    joined = joined_by_kind([with_asked([WHOLE, OTHER, HELD_OUT, ONE]), with_asked([WHOLE, OTHER, HELD_OUT, ONE])])
    assert [each.kind for each in joined] == in_order({ALL, ASKED, "linked", "quest", "unit_fact"})
    assert joined[1].items == (3, 4, 3, 4)
