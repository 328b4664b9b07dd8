import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prompts import Game, StateBlocks
from tests.prompts.test_segment import leaves
from tests.prompts.worlds import Json, blocks_of, count_words, json_values, make_game, rule, some_units

_SLICE = re.compile(r"(.*)\[(\d+)(?:\.\.\d+)?\]$")


@pytest.fixture(scope="module")
def roster(tmp_path_factory: pytest.TempPathFactory) -> Game:
    """All units are one rule's: the split is forced."""
    return make_game(tmp_path_factory.mktemp("roster"), rule("/units", "units", key="id", max_tokens=40))


@pytest.fixture(scope="module")
def tight(tmp_path_factory: pytest.TempPathFactory) -> Game:
    return make_game(tmp_path_factory.mktemp("tight"), rule("/*", "part/{key}", key="id", max_tokens=12))


def pieced_together(texts: list[str]) -> dict[str, Json]:
    """The leaves of what blocks say, whatever pieces it came in; strings cut in pieces are joined."""
    found: dict[str, Json] = {}
    for text in texts:
        path, _, body = text.partition("\n")
        value, first = json.loads(body), 0
        if isinstance(value, list) and (sliced := _SLICE.match(path)):
            path, first = sliced[1], int(sliced[2])
        members = {path: value}
        if isinstance(value, list) and value:
            members = {f"{path}/{first + index}": member for index, member in enumerate(value)}
        for start, member in members.items():
            for leaf, scalar in leaves(member, start).items():
                found[leaf] = found[leaf] + scalar if leaf in found else scalar
    return found


def plain_leaves(value: Json, path: str) -> dict[str, Json]:
    return {leaf.replace("'", ""): scalar for leaf, scalar in leaves(value, path).items()}


long_values = st.recursive(
    st.integers(0, 10**6) | st.text(alphabet="abc \n", max_size=150),
    lambda inner: (
        st.lists(inner, max_size=8) | st.dictionaries(st.text("abcdef", min_size=1, max_size=3), inner, max_size=8)
    ),
    max_leaves=30,
)


@given(long_values)
def test_pieces_fit_and_together_say_everything_once(tight: Game, value: Json) -> None:
    texts = list(blocks_of(tight, {"world": value}).values())
    together = {leaf.replace("'", ""): scalar for leaf, scalar in pieced_together(texts).items()}
    assert repr(sorted(together.items())) == repr(sorted(plain_leaves(value, "/world").items()))
    for text in texts:
        body = json.loads(text.partition("\n")[2])
        is_single = not isinstance(body, (dict, list, str)) or len(body) <= 1
        assert count_words(text) <= 12 or is_single


@given(json_values)
def test_names_of_pieces_are_unique(tight: Game, value: Json) -> None:
    blocks = StateBlocks(tight, count_words)
    blocks.replace({"world": value})
    assert len({block.name for block in blocks.blocks}) == len(blocks.blocks)
    assert not any("are named" in warning for warning in blocks.warnings)


def test_members_with_an_identity_become_blocks_of_their_own(roster: Game) -> None:
    texts = blocks_of(roster, {"units": some_units(300)})
    assert len(texts) == 300
    assert texts["units/unit-7"] == '/units/unit-7\n{"hp":7,"id":"unit-7","pos":{"x":7,"y":3}}\n'


def test_what_fits_is_not_split(roster: Game) -> None:
    assert list(blocks_of(roster, {"units": some_units(2)})) == ["units"]


@settings(max_examples=30)
@given(st.integers(0, 299), st.integers(0, 299), st.data())
def test_inserting_removing_or_moving_one_of_300_members_replaces_at_most_two_blocks(
    roster: Game, place: int, target: int, data: st.DataObject
) -> None:
    units = some_units(300)
    blocks = StateBlocks(roster, count_words)
    blocks.replace({"units": units})
    removed = [unit for index, unit in enumerate(units) if index != place]
    new = {"id": data.draw(st.text(max_size=5)), "hp": 3}
    for changed in (
        removed,
        [*units[:place], new, *units[place:]],
        [*removed[:target], units[place], *removed[target:]],
    ):
        change = blocks.replace({"units": changed})
        assert len(change.added) + len(change.replaced) <= 2 and len(change.removed) <= 2
        blocks.replace({"units": units})


@settings(max_examples=30)
@given(st.dictionaries(st.integers(0, 299), st.integers(0, 10**9), min_size=1, max_size=8))
def test_changing_leaves_of_a_split_array_replaces_no_more_blocks_than_leaves(
    roster: Game, new: dict[int, int]
) -> None:
    units = some_units(300)
    blocks = StateBlocks(roster, count_words)
    blocks.replace({"units": units})
    changed = [{**unit, "hp": new.get(index, unit["hp"])} for index, unit in enumerate(units)]
    change = blocks.replace({"units": changed})
    assert len(change.replaced) <= len(new) and change.added == change.removed == ()


def test_members_of_an_object_are_packed_and_an_inserted_one_disturbs_only_its_neighbours(tight: Game) -> None:
    flags = {f"flag-{number:03}": number for number in range(200)}
    before = set(blocks_of(tight, {"flags": flags}).values())
    assert 60 < len(before) < 200
    after = set(blocks_of(tight, {"flags": {**flags, "flag-100b": 1}}).values())
    assert len(before - after) <= 3


def test_a_slice_of_an_array_says_which_members_it_holds(tight: Game) -> None:
    texts = list(blocks_of(tight, {"grid": ["#" * 20, "." * 20, "~" * 20]}).values())
    assert [text.partition("\n")[0] for text in texts] == ["/grid[0]", "/grid[1]", "/grid[2]"]


def test_a_long_string_is_cut_between_lines_and_an_inserted_line_disturbs_only_its_neighbours(tight: Game) -> None:
    lines = [f"line {number} of the book\n" for number in range(100)]
    before = set(blocks_of(tight, {"book": "".join(lines)}).values())
    after = set(blocks_of(tight, {"book": "".join([*lines[:40], "a new line\n", *lines[40:]])}).values())
    assert len(before) > 30 and len(before - after) <= 3
    assert all(json.loads(text.partition("\n")[2]).endswith("\n") for text in before)


def test_a_template_for_an_array_is_given_shorter_arrays(tmp_path: Path) -> None:
    toml = rule("/units", "units", key="id", max_tokens=12, render="units.md")
    game = make_game(
        tmp_path, toml, {"units.md": "{% for unit in value %}{{ unit.id }} has {{ unit.hp }}\n{% endfor %}"}
    )
    texts = blocks_of(game, {"units": some_units(20)})
    assert texts["units/unit-3"] == "/units/unit-3\nunit-3 has 3\n"
    assert len(texts) == 20


def test_what_a_template_made_of_one_thing_is_split_by_lines(tmp_path: Path) -> None:
    toml = rule("/map", "map", max_tokens=12, render="map.md")
    game = make_game(tmp_path, toml, {"map.md": "{% for row in value.rows %}row {{ row }}\n{% endfor %}"})
    texts = blocks_of(game, {"map": {"rows": [str(number) * 10 for number in range(8)]}})
    assert len(texts) > 2
    assert all(re.fullmatch(r"/map\n(row \d+\n)+", text) and count_words(text) <= 12 for text in texts.values())


def test_what_cannot_be_divided_stays_whole_with_a_warning(tmp_path: Path) -> None:
    game = make_game(tmp_path, rule("/n", "n", max_tokens=2))
    blocks = StateBlocks(game, count_words)
    blocks.replace({"n": 10**40})
    assert [block.text for block in blocks.blocks] == [f"/n\n{10**40}\n"]
    assert "'n' is longer than the max_tokens = 2" in blocks.warnings[0]


def test_a_block_that_is_far_too_long_is_split_without_being_counted_whole(roster: Game) -> None:
    counted: list[str] = []
    blocks = StateBlocks(roster, lambda text: counted.append(text) or count_words(text))
    blocks.replace({"units": some_units(300)})
    assert max(map(len, counted)) < 1000
    assert len(counted) == 300
