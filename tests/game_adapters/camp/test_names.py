from random import Random

import pytest

from game_adapters.camp import names


@pytest.mark.parametrize("make", [names.people, names.regions, names.units, names.items])
@pytest.mark.parametrize("count", [1, 30, 700])
def test_names_are_unique_however_many_there_are(make: object, count: int) -> None:
    made = make(Random(1), count)  # type: ignore[operator]
    assert len(made) == len(set(made)) == count
    assert all(" " not in name and "/" not in name for name in made)


def test_a_units_name_does_not_tell_its_kind() -> None:
    assert not [name for name in names.units(Random(1), 240) for kind in names.KINDS if kind in name]


def test_regions_units_items_and_people_share_no_name() -> None:
    kinds = [set(make(Random(1), 144)) for make in (names.people, names.regions, names.units, names.items)]
    assert sum(map(len, kinds)) == len(set.union(*kinds))
