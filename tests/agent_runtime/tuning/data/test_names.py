"""Names: different ones, as many as are asked for, and no split's in another."""

import re
from random import Random
from string import ascii_uppercase

import pytest

from agent_runtime.tuning.data.names import names, plain_things, things
from agent_runtime.tuning.data.words import FIRST_HALVES, LOOKS, ROLES, SECOND_HALVES, THINGS
from agent_runtime.tuning.samples import SPLITS, Split

RHYMES = ("a", "e", "i", "o", "u", "an", "ar", "el", "en", "il", "in", "or", "os", "un")


@pytest.mark.parametrize("split", SPLITS)
def test_there_are_as_many_as_are_asked_for_and_no_two_are_alike(split: Split) -> None:
    taken = {"Kazimor"}
    found = names(Random(1), split, 500, taken)
    assert len({*found}) == 500 and taken == {"Kazimor", *found}
    assert all(name.isalpha() and name.istitle() for name in found)
    for count in (5, 300, 700):
        assert len({*things(Random(1), split, count)}) == count


def test_varied_names_to_learn_from_are_words_of_several_kinds_with_every_letter() -> None:
    kinds, letters = set(), set()
    for seed in range(60):
        found = names(Random(seed), "train", 300, varied=True)
        assert len({*found}) == 300 and all(re.fullmatch(r"[A-Z][a-z]*[0-9]*", name) for name in found)
        letters |= {name[0] for name in found}
        kinds.add((any(name[-1].isdigit() for name in found), len({name[0] for name in found})))
    assert len({is_numbered for is_numbered, _ in kinds}) == 2 and len(kinds) > 3
    assert letters == {*ascii_uppercase}
    assert names(Random(3), "test", 9, varied=True) == names(Random(3), "test", 9)


@pytest.mark.parametrize("split", SPLITS[1:])
def test_nothing_learned_from_is_what_another_split_could_be_called(split: Split) -> None:
    syllables = {name[:end].lower() for name in names(Random(1), split, 2000) for end in (2, 3)}
    syllables = {each for each in syllables if each[1:] in RHYMES}
    of_it = re.compile(f"(?:{'|'.join(sorted(syllables))}){{2,3}}")
    learned = [name for seed in range(80) for name in names(Random(seed), "train", 300, varied=seed % 2 == 1)]
    assert not [name for name in learned if of_it.fullmatch(name.lower())]
    assert all(of_it.fullmatch(name.lower()) for name in names(Random(2), split, 300))


def test_hundreds_of_words_are_learned_from_and_none_of_another_split() -> None:
    for every in (LOOKS, THINGS):
        assert len({*every["train"]}) == len(every["train"]) > 300
    held_out = {word for every in (LOOKS, THINGS) for split in SPLITS[1:] for word in every[split]}
    learned = {*LOOKS["train"], *THINGS["train"], *ROLES, *FIRST_HALVES, *SECOND_HALVES}
    assert not held_out & learned


def test_no_split_has_a_name_or_a_thing_of_another() -> None:
    for make in (names, things):
        found = [{*make(Random(seed), split, 300)} for seed, split in enumerate(SPLITS)]
        assert not found[0] & found[1] and not found[0] & found[2] and not found[1] & found[2]
    every = [thing for split in SPLITS for thing in plain_things(split)]
    assert len(every) == len({*every})
