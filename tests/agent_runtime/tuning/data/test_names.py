"""Names: different ones, as many as are asked for, of the same kinds in every split, and no split's in another."""

import re
from random import Random
from string import ascii_uppercase

import pytest

from agent_runtime.tuning.data.names import Manner, names, plain_things, split_of, things
from agent_runtime.tuning.data.words import (
    FIRST_HALVES,
    LOOKS,
    ROLES,
    SECOND_HALVES,
    THINGS,
    UNLIKE_LOOKS,
    UNLIKE_THINGS,
)
from agent_runtime.tuning.samples import SPLITS, Split

RHYMES = ("a", "e", "i", "o", "u", "an", "ar", "el", "en", "il", "in", "or", "os", "un")
MANNERS: list[tuple[Split, Manner]] = [
    *[(split, "like") for split in SPLITS],  # type: ignore[misc]
    *[(split, "unlike") for split in SPLITS[1:]],
]


@pytest.mark.parametrize(("split", "manner"), MANNERS)
def test_there_are_as_many_as_are_asked_for_and_no_two_are_alike(split: Split, manner: Manner) -> None:
    taken = {"Kazimor"}
    found = names(Random(1), split, 500, taken, manner=manner)
    assert len({*found}) == 500 and taken == {"Kazimor", *found}
    assert all(name.isalpha() and name.istitle() for name in found)
    for count in (5, 300, 700):
        assert len({*things(Random(1), split, count, manner=manner)}) == count


def test_a_text_says_its_split_today_as_ever() -> None:
    assert [split_of(name) for name in ("Kazimor", "kazimor", "Goblin7", "Blesha", "copper-bell")] == [
        "train",
        "train",
        "train",
        "train",
        "validation",
    ]
    shares = [split_of(str(number)) for number in range(10_000)]
    assert [round(shares.count(split) / 1000) for split in SPLITS] == [8, 1, 1]


@pytest.mark.parametrize("split", SPLITS)
def test_varied_names_are_words_of_several_kinds_with_every_letter_in_every_split(split: Split) -> None:
    kinds, letters = set(), set()
    for seed in range(60):
        found = names(Random(seed), split, 300, varied=True)
        assert len({*found}) == 300 and all(re.fullmatch(r"[A-Z][a-z]*[0-9]*", name) for name in found)
        assert {split_of(name) for name in found} == {split}
        letters |= {name[0] for name in found}
        kinds.add((any(name[-1].isdigit() for name in found), len({name[0] for name in found})))
    assert len({is_numbered for is_numbered, _ in kinds}) == 2 and len(kinds) > 3
    assert letters == {*ascii_uppercase}


def test_a_kind_of_names_that_runs_out_is_gone_on_with_by_another() -> None:
    roles = {f"{role}{number}".capitalize() for role in ROLES for number in range(1, 100)}
    roles = {name for name in roles if split_of(name) == "test"}
    seed = next(seed for seed in range(99) if {*names(Random(seed), "test", 9, varied=True)} <= roles)
    found = {*names(Random(seed), "test", len(roles) + 50, varied=True)}
    assert len(found) == len(roles) + 50 and 50 <= len(found - roles) < 200


@pytest.mark.parametrize("split", SPLITS[1:])
def test_unlike_names_are_of_few_syllables_and_no_other_name_of_any_split_is(split: Split) -> None:
    syllables = {name[:end].lower() for name in names(Random(1), split, 2000, manner="unlike") for end in (2, 3)}
    syllables = {each for each in syllables if each[1:] in RHYMES}
    of_it = re.compile(f"(?:{'|'.join(sorted(syllables))}){{2,3}}")
    for other in SPLITS:
        found = [name for seed in range(80) for name in names(Random(seed), other, 300, varied=seed % 2 == 1)]
        assert not [name for name in found if of_it.fullmatch(name.lower())]
    assert all(of_it.fullmatch(name.lower()) for name in names(Random(2), split, 300, manner="unlike"))
    assert names(Random(3), split, 9, varied=True, manner="unlike") == names(Random(3), split, 9, manner="unlike")


def test_there_are_hundreds_of_words_and_unlike_ones_are_not_among_them() -> None:
    for every in (LOOKS, THINGS):
        assert len({*every}) == len(every) > 300
    unlike = [word for every in (UNLIKE_LOOKS, UNLIKE_THINGS) for words in every.values() for word in words]
    assert not {*unlike} & {*LOOKS, *THINGS, *ROLES, *FIRST_HALVES, *SECOND_HALVES}
    assert len({*unlike}) == len(unlike)


@pytest.mark.parametrize("manner", ["like", "unlike"])
def test_no_split_has_a_name_or_a_thing_of_another(manner: Manner) -> None:
    splits = [split for split, known in MANNERS if known == manner]
    for make in (names, things):
        found = [{*make(Random(seed), split, 300, manner=manner)} for seed, split in enumerate(splits)]  # type: ignore[operator]
        assert len({*[name for each in found for name in each]}) == 300 * len(splits)


def test_every_plain_thing_is_of_one_split() -> None:
    every = [thing for split in SPLITS for thing in plain_things(split)]
    assert sorted(every) == sorted(THINGS) and min([len(plain_things(split)) for split in SPLITS]) > 30
