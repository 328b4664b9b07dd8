"""Names: different ones, as many as are asked for, and no split's in another."""

import re
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


def test_varied_names_to_learn_from_are_words_of_several_kinds_that_begin_as_no_other_splits_do() -> None:
    others = {name[0] for split in SPLITS[1:] for name in names(Random(1), split, 500)}
    kinds = set()
    for seed in range(60):
        found = names(Random(seed), "train", 300, varied=True)
        assert len({*found}) == 300 and all(re.fullmatch(r"[A-Z][a-z]+[0-9]*", name) for name in found)
        assert not {name[0] for name in found} & others
        kinds.add((any(name[-1].isdigit() for name in found), len({name[0] for name in found})))
    assert len({is_numbered for is_numbered, _ in kinds}) == 2 and len(kinds) > 3
    assert names(Random(3), "test", 9, varied=True) == names(Random(3), "test", 9)


def test_no_split_has_a_name_or_a_thing_of_another() -> None:
    for make in (names, things):
        found = [{*make(Random(seed), split, 300)} for seed, split in enumerate(SPLITS)]
        assert not found[0] & found[1] and not found[0] & found[2] and not found[1] & found[2]
    every = [thing for split in SPLITS for thing in plain_things(split)]
    assert len(every) == len({*every})
