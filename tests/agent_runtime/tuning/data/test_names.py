"""Names: different ones, as many as are asked for, and no split's in another."""

from random import Random

import pytest

from agent_runtime.tuning.data.names import names, plain_things, things
from agent_runtime.tuning.samples import SPLITS, Split


@pytest.mark.parametrize("split", SPLITS)
def test_there_are_as_many_as_are_asked_for_and_no_two_are_alike(split: Split) -> None:
    taken = {"Kazimor"}
    found = names(Random(1), split, 500, taken)
    assert len({*found}) == 500 and taken == {"Kazimor", *found}
    assert all(name.isalpha() and name.istitle() for name in found)
    for count in (5, 300, 700):
        assert len({*things(Random(1), split, count)}) == count


def test_no_split_has_a_name_or_a_thing_of_another() -> None:
    for make in (names, things):
        found = [{*make(Random(seed), split, 300)} for seed, split in enumerate(SPLITS)]
        assert not found[0] & found[1] and not found[0] & found[2] and not found[1] & found[2]
    every = [thing for split in SPLITS for thing in plain_things(split)]
    assert len(every) == len({*every})
