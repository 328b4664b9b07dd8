import copy
import gc
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jsonpatch
import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prompts import Block, Game, StateBlocks, apply_patch
from prompts.errors import StateError, TemplateFailed
from prompts.json_text import canonical
from prompts.segment import Node
from tests.prompts.worlds import UNITS, Json, count_words, live, make_game, rule, some_units, worlds

GAMES = {
    "no rules": "",
    "units": UNITS + live("/b"),
    "nested": rule("/units/*/pos", "pos/{key}", key="id") + UNITS + rule("/units", "units") + live("/units/*/hp"),
    "anywhere": rule("/**/pos", "pos") + rule("/**/log", "log", key="id") + rule("/a/**", "a") + live("/**/b"),
    "by place": rule("/units/0", "first")
    + rule("/units/*", "unit/{key}", key="id")
    + rule("/*/units", "inner", order=-1),
    "split by place": rule("/units/0", "first", max_tokens=6) + rule("/units/*", "unit/{key}", key="id", max_tokens=9),
    "split": rule("/units/*/log", "log/{1}", max_tokens=6) + rule("/*", "{key}", key="id", max_tokens=6),
    "rendered": rule("/units/*", "unit/{key}", key="id", render="t.md")
    + rule("/*", "{key}", render="t.md", max_tokens=8),
}
SIGHTS = [
    [],
    ["!/**/id"],
    ["/units"],
    ["!/units/0", "/units/*/pos"],
    ["!/units/0/pos"],
    ["!/units/0", "/**/a"],
    ["/**/pos", "/a", "!/a/b"],
    ["!/**/log", "!/b"],
]


@pytest.fixture(scope="module")
def games(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Game]:
    files = {"t.md": "{% for x in [value] %}{{ key }}:\n{{ x }}{% endfor %}"}
    return {name: make_game(tmp_path_factory.mktemp("games"), toml, files) for name, toml in GAMES.items()}


@pytest.fixture(scope="module")
def camp(tmp_path_factory: pytest.TempPathFactory) -> Game:
    toml = UNITS + rule("/map/*", "map/{key}") + live("/clock")
    return make_game(tmp_path_factory.mktemp("camp"), toml)


def camp_state(count: int = 20) -> Json:
    return {"units": some_units(count), "map": {"gate": {"open": True}, "mill": {"open": False}}, "clock": 1}


def taken(game: Game, state: Json, sight: list[str] | None = None) -> StateBlocks:
    blocks = StateBlocks(game, count_words, sight or ())
    blocks.replace(state)
    return blocks


def scalar_paths(value: Json, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if members is None:
        yield path
    for key, member in members or ():
        yield from scalar_paths(member, (*path, key))


def all_paths(value: Json, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in members:
        yield from all_paths(member, (*path, key))


def with_leaf(state: Json, path: tuple[Any, ...], value: Json) -> Json:
    if not path:
        return value
    copied = copy.copy(state)
    copied[path[0]] = with_leaf(state[path[0]], path[1:], value)
    return copied


@settings(max_examples=300)
@given(st.sampled_from(sorted(GAMES)), st.sampled_from(SIGHTS), st.lists(worlds, min_size=2, max_size=4), st.booleans())
def test_a_patch_leads_to_the_same_blocks_as_the_whole_state(
    games: dict[str, Game], name: str, sight: list[str], states: list[Json], by_patch_first: bool
) -> None:
    state, blocks = states[0], taken(games[name], states[0], sight)
    for number, target in enumerate(states[1:]):
        if by_patch_first ^ bool(number % 2):
            ops = jsonpatch.make_patch(state, target).patch
            state = apply_patch(state, ops)
            blocks.patch(ops, state)
        else:
            state = target
            blocks.replace(state)
        fresh = taken(games[name], copy.deepcopy(target), sight)
        assert blocks.blocks == fresh.blocks
        assert json.dumps(blocks.live) == json.dumps(fresh.live)


@pytest.mark.parametrize("num_changed", [1, 2, 4, 5, 12])
def test_however_many_members_a_patch_changes_the_blocks_are_those_of_the_whole_state(
    camp: Game, num_changed: int
) -> None:
    state = camp_state()
    blocks = taken(camp, state)
    for turn in range(3):
        ops = [
            {"op": "replace", "path": f"/units/{(7 * turn + 3 * place) % 20}/hp", "value": 1000 + turn}
            for place in range(num_changed)
        ]
        state = apply_patch(state, ops)
        change = blocks.patch(ops, state)
        assert len(change.replaced) == num_changed
        assert blocks.blocks == taken(camp, state).blocks


def test_a_patch_that_puts_one_value_where_blocks_were_removes_them(games: dict[str, Game]) -> None:
    blocks = taken(games["anywhere"], [None, {"pos": None}], [])
    ops = [{"op": "replace", "path": "", "value": None}]
    change = blocks.patch(ops, apply_patch([None, {"pos": None}], ops))
    assert change.removed == ("pos",)
    assert [block.name for block in blocks.blocks] == ["rest"]


@settings(max_examples=300)
@given(st.sampled_from(sorted(GAMES)), st.sampled_from(SIGHTS), worlds, st.data())
def test_parts_that_change_frame_by_frame_lead_to_the_same_blocks_as_the_whole_state(
    games: dict[str, Game], name: str, sight: list[str], state: Json, data: st.DataObject
) -> None:
    blocks = taken(games[name], state, sight)
    values = st.integers(10, 99) | st.text("xyz", max_size=30) | st.just({}) | st.just([{"id": "1"}])
    for _ in range(4):
        known = {block.name: block for block in blocks.blocks}
        for _ in range(data.draw(st.integers(0, 2))):
            leaves = list(scalar_paths(state))
            paths = leaves if leaves and data.draw(st.booleans()) else list(all_paths(state))
            state = with_leaf(state, data.draw(st.sampled_from(paths)), data.draw(values))
        change = blocks.patch([], state)
        fresh = taken(games[name], copy.deepcopy(state), sight)
        assert blocks.blocks == fresh.blocks
        assert json.dumps(blocks.live) == json.dumps(fresh.live)
        assert list(change.fresh) == [block for block in blocks.blocks if known.get(block.name) is not block]
        assert {block.name for block in change.fresh} == {*change.added, *change.replaced}


@given(st.sampled_from(sorted(GAMES)), st.sampled_from(SIGHTS), worlds, worlds, st.booleans())
def test_a_change_tells_exactly_what_became_of_each_block(
    games: dict[str, Game], name: str, sight: list[str], old: Json, new: Json, by_patch: bool
) -> None:
    blocks = taken(games[name], old, sight)
    before = {block.name: block for block in blocks.blocks}
    if by_patch:
        ops = jsonpatch.make_patch(old, new).patch
        change = blocks.patch(ops, apply_patch(old, ops))
    else:
        change = blocks.replace(new)
    after = {block.name: block for block in blocks.blocks}
    assert set(change.added) == after.keys() - before.keys()
    assert set(change.removed) == before.keys() - after.keys()
    assert set(change.replaced) == {name for name in after.keys() & before.keys() if after[name] != before[name]}
    assert [block.name for block in change.fresh] == [
        block.name for block in blocks.blocks if block.name in {*change.added, *change.replaced}
    ]
    assert all(after[name] is before[name] for name in after.keys() & before.keys() - set(change.replaced))


@settings(max_examples=200)
@given(st.sampled_from(["no rules", "units", "nested", "anywhere", "by place"]), worlds, st.data())
def test_changing_some_leaves_replaces_no_more_blocks_than_leaves(
    games: dict[str, Game], name: str, state: Json, data: st.DataObject
) -> None:
    # A leaf that is an identity renames what is beneath it: that is removing one member and inserting another.
    paths = [path for path in scalar_paths(state) if not path or path[-1] != "id"]
    chosen = data.draw(st.lists(st.sampled_from(paths), max_size=4, unique=True)) if paths else []
    blocks = taken(games[name], state)
    for path in chosen:
        state = with_leaf(state, path, data.draw(st.integers(10, 99) | st.text("xyz", max_size=30)))
    change = blocks.replace(state)
    assert len(change.fresh) <= len(chosen) and len(change.removed) <= len(chosen)


def test_members_of_a_keyed_array_can_come_go_and_move_without_disturbing_each_other(camp: Game) -> None:
    state = camp_state(300)
    blocks = taken(camp, state)
    order = [block.name for block in blocks.blocks]
    ops = [{"op": "move", "from": "/units/7", "path": "/units/250"}]
    state = apply_patch(state, ops)
    assert blocks.patch(ops, state).fresh == ()
    assert [block.name for block in blocks.blocks] == [*order[:7], *order[8:251], order[7], *order[251:]]
    ops = [{"op": "add", "path": "/units/0", "value": {"id": "new"}}]
    state = apply_patch(state, ops)
    assert blocks.patch(ops, state).added == ("unit/new",)
    ops = [{"op": "remove", "path": "/units/0"}]
    assert blocks.patch(ops, apply_patch(state, ops)).removed == ("unit/new",)


@pytest.mark.parametrize("name", ["by place", "split by place", "no rules"])
@pytest.mark.parametrize("sight", SIGHTS)
def test_a_member_that_moves_to_a_place_of_another_meaning_is_cut_and_seen_anew(
    games: dict[str, Game], name: str, sight: list[str]
) -> None:
    state = {"units": [{"id": str(number), "pos": {"x": {"a": 1, "b": 22222}}, "log": "a b"} for number in range(4)]}
    blocks = taken(games[name], state, sight)
    for source, target in ((2, 0), (0, 3), (1, 0)):
        ops = [{"op": "move", "from": f"/units/{source}", "path": f"/units/{target}"}]
        state = apply_patch(state, ops)
        blocks.patch(ops, state)
        assert blocks.blocks == taken(games[name], copy.deepcopy(state), sight).blocks


def test_a_split_array_is_written_anew_when_what_is_left_of_it_says_the_same_from_other_places(
    games: dict[str, Game],
) -> None:
    def state(*units: Json) -> Json:
        return {"units": [{"pos": "a long way from here"}, *units, {"pos": "another long way from here"}]}

    blocks = taken(games["split"], state({"log": 1}))
    for units in ((), ({"log": 1}, {"log": 1}), ({"log": 1},)):
        blocks.replace(state(*units))
        assert blocks.blocks == taken(games["split"], state(*units)).blocks


def test_an_unchanged_block_stays_the_same_object(camp: Game) -> None:
    state = camp_state()
    blocks = taken(camp, state)
    before = blocks.blocks
    blocks.replace(copy.deepcopy(state))
    assert all(new is old for new, old in zip(blocks.blocks, before, strict=True))
    ops = [{"op": "replace", "path": "/units/3/hp", "value": 99}]
    blocks.patch(ops, apply_patch(state, ops))
    assert [new is old for new, old in zip(blocks.blocks, before, strict=True)].count(False) == 1


def test_values_that_python_calls_equal_are_told_apart(camp: Game) -> None:
    blocks = taken(camp, {"map": {"gate": 1}})
    assert blocks.replace({"map": {"gate": True}}).replaced == ("map/gate",)
    assert blocks.replace({"map": {"gate": 1.0}}).replaced == ("map/gate",)
    assert blocks.replace({"map": {"gate": 1}}).replaced == ("map/gate",)


def test_a_state_changed_in_place_and_given_again_is_seen_to_have_changed(camp: Game) -> None:
    state = camp_state()
    blocks = taken(camp, state)
    state["units"][2]["hp"] = 1000
    assert blocks.replace(state).replaced == ("unit/unit-2",)


@settings(max_examples=300)
@given(st.sampled_from(sorted(GAMES)), st.sampled_from(SIGHTS), worlds, st.data())
def test_whole_states_that_share_much_lead_to_the_same_blocks_however_they_come(
    games: dict[str, Game], name: str, sight: list[str], state: Json, data: st.DataObject
) -> None:
    # Two copies that their owner changes by turns, as an engine with two buffers does, and one that is patched.
    blocks, by_patch = taken(games[name], copy.deepcopy(state), sight), taken(games[name], state, sight)
    buffers = [copy.deepcopy(state), copy.deepcopy(state)]
    # Made anew for every place: one object in two places of a buffer could not be changed in one of them.
    containers = st.builds(dict[str, Json]) | st.builds(lambda: [{"id": "1"}])
    values = st.integers(10, 99) | st.text("xyz", max_size=30) | containers
    for _ in range(4):
        known = {block.name: block for block in blocks.blocks}
        if data.draw(st.booleans()):
            path, value = data.draw(st.sampled_from(list(all_paths(state)))), data.draw(values)
            state = with_leaf(state, path, value)
        buffers[0] = in_place(buffers[0], copy.deepcopy(state))
        change = blocks.replace(buffers[0])
        by_patch.patch([], state)
        buffers.reverse()
        fresh = taken(games[name], copy.deepcopy(state), sight)
        assert blocks.blocks == fresh.blocks == by_patch.blocks
        assert json.dumps(blocks.live) == json.dumps(fresh.live) == json.dumps(by_patch.live)
        assert list(change.fresh) == [block for block in blocks.blocks if known.get(block.name) is not block]


def in_place(old: Json, new: Json) -> Json:
    """`new`, in the objects of `old` where they are of its kind."""
    if isinstance(old, dict) and isinstance(new, dict):
        members = {key: in_place(old.get(key), value) for key, value in new.items()}
        old.clear()
        old.update(members)
        return old
    if isinstance(old, list) and isinstance(new, list):
        old[:] = [in_place(old[index] if index < len(old) else None, value) for index, value in enumerate(new)]
        return old
    return new


@pytest.mark.parametrize("sight", [[], ["!/units/*/pos"]])
def test_of_a_whole_state_only_the_parts_that_changed_are_written_as_json(
    camp: Game, sight: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Json] = []

    def recorded(value: Json, labels: Sequence[str] = ()) -> str:
        written.append(value)
        return canonical(value, labels)

    state = camp_state(300)
    blocks = taken(camp, state, sight)
    monkeypatch.setattr("prompts.segment.canonical", recorded)
    state = json.loads(json.dumps(state))
    state["units"][7]["hp"] = 1000
    state["clock"] = 2
    assert blocks.replace(state).replaced == ("unit/unit-7",)
    assert [value["hp"] if isinstance(value, dict) else value for value in written] == [2, 1000]


def test_a_part_that_becomes_no_json_is_refused_whatever_its_bytes(camp: Game) -> None:
    blocks = taken(camp, {"map": {"gate": numpy.float64(2.0)}})
    with pytest.raises(StateError):
        blocks.replace({"map": {"gate": numpy.float64(2.0).tobytes()}})
    assert [block.text for block in blocks.blocks] == ["/map/gate\n2.0\n"]


def test_a_live_change_touches_no_block_and_the_old_live_part_stays_as_it_was(camp: Game) -> None:
    state = camp_state()
    blocks = taken(camp, state)
    before, live_before = blocks.blocks, blocks.live
    ops = [{"op": "replace", "path": "/clock", "value": 2}]
    change = blocks.patch(ops, apply_patch(state, ops))
    assert change.fresh == change.removed == ()
    assert blocks.blocks == before
    assert (live_before, blocks.live) == ({"clock": 1}, {"clock": 2})


def test_tokens_are_counted_and_templates_filled_in_for_changed_blocks_only(tmp_path: Path) -> None:
    toml = rule("/units/*", "unit/{key}", key="id", max_tokens=100, render="unit.md")
    game = make_game(tmp_path, toml, {"unit.md": "{{ value.note }}"})
    rendered: list[str] = []
    counted: list[str] = []

    def count(text: str) -> int:
        counted.append(text)
        return count_words(text)

    template = game.segment_rules[0].template
    assert template is not None
    render = template.render

    def recorded(values: dict[str, Any]) -> str:
        rendered.append(values["path"])
        return render(values)

    template.render = recorded  # type: ignore[method-assign]
    state: Json = {"units": [{"id": str(number), "note": f"n{number}"} for number in range(300)]}
    blocks = StateBlocks(game, count)
    blocks.replace(state)
    assert len(rendered) == len(counted) == 300
    rendered.clear()
    counted.clear()
    blocks.replace(copy.deepcopy(state))
    assert rendered == counted == []
    ops = [
        {"op": "replace", "path": "/units/7/note", "value": "new"},
        {"op": "move", "from": "/units/9", "path": "/units/0"},
        {"op": "remove", "path": "/units/20"},
    ]
    blocks.patch(ops, apply_patch(state, ops))
    assert rendered == ["/units/7"]
    assert counted == ["/units/7\nnew\n"]


def test_a_template_that_breaks_leaves_the_last_blocks_in_place(tmp_path: Path) -> None:
    toml = rule("/units/*", "unit/{key}", key="id", render="unit.md") + live("/clock")
    game = make_game(tmp_path, toml, {"unit.md": "{{ value.hp + 1 }}"})
    blocks = taken(game, {"units": [{"id": "p", "hp": 1}, {"id": "q", "hp": 1}], "clock": 1})
    before = blocks.blocks
    with pytest.raises(TemplateFailed, match=r"unit\.md:1: .*while writing /units/q"):
        blocks.replace({"units": [{"id": "p", "hp": 2}, {"id": "q", "hp": "much"}], "clock": 2})
    assert blocks.blocks is before and blocks.live == {"clock": 1}
    change = blocks.replace({"units": [{"id": "p", "hp": 2}, {"id": "q", "hp": 1}], "clock": 2})
    assert change.replaced == ("unit/p",)
    assert blocks.blocks[0].text == "/units/p\n3\n"


@settings(max_examples=200)
@given(st.sampled_from(sorted(GAMES)), worlds, st.data())
def test_what_a_sight_hides_reaches_no_block_no_name_and_no_live_part(
    games: dict[str, Game], name: str, state: Json, data: st.DataObject
) -> None:
    hidden = {"units": [{"id": "p", "secret": 1, "pos": [1, 2]}, {"id": "q", "log": {"secret": 2}}], "b": state}
    other = copy.deepcopy(hidden)
    other["units"][0]["secret"] = data.draw(worlds)
    other["units"][1]["log"]["secret"] = data.draw(worlds)
    del hidden["units"][1]["log"]["secret"]
    one, two = (taken(games[name], state, ["!/**/secret"]) for state in (hidden, other))
    assert one.blocks == two.blocks and one.live == two.live
    assert not any("secret" in block.text + block.name for block in two.blocks)


def test_an_identity_that_the_sight_hides_names_nothing(camp: Game) -> None:
    blocks = taken(camp, camp_state(2), ["/units/*/pos"])
    assert {block.name: block.text for block in blocks.blocks} == {
        "unit/#0": '/units/#0\n{"pos":{"x":0,"y":3}}\n',
        "unit/#1": '/units/#1\n{"pos":{"x":1,"y":3}}\n',
    }
    assert "that the sight shows" in blocks.warnings[0]


def test_a_sight_that_shows_nothing_gives_no_blocks_and_may_show_something_later(camp: Game) -> None:
    blocks = taken(camp, {"units": []}, ["/map"])
    assert blocks.blocks == () and blocks.live == {}
    assert blocks.replace(camp_state()).added == ("map/gate", "map/mill")
    assert blocks.replace(3).removed == ("map/gate", "map/mill")


def test_a_patch_under_a_sight_touches_only_what_it_shows(camp: Game) -> None:
    state = camp_state()
    blocks = taken(camp, state, ["!/units/*/pos"])
    ops = [{"op": "replace", "path": "/units/3/pos/x", "value": 99}]
    state = apply_patch(state, ops)
    assert blocks.patch(ops, state).fresh == ()
    ops = [{"op": "replace", "path": "/units/3/hp", "value": 99}]
    assert blocks.patch(ops, apply_patch(state, ops)).replaced == ("unit/unit-3",)


def test_each_warning_is_given_once_and_there_is_an_end_to_them(camp: Game) -> None:
    blocks = StateBlocks(camp, count_words)
    assert len(blocks.replace({"weather": 1}).warnings) == 1
    assert blocks.replace({"weather": 2}).warnings == ()
    for number in range(300):
        blocks.replace({f"weather-{number}": 1})
    assert len(blocks.warnings) == 100


def test_old_frames_are_freed_without_the_garbage_collector(camp: Game) -> None:
    def num_nodes() -> int:
        return sum(type(thing) is Node for thing in gc.get_objects())

    blocks = taken(camp, camp_state())
    gc.collect()
    gc.disable()
    try:
        before = num_nodes()
        for clock in range(3):
            blocks.replace(camp_state())
            blocks.patch([], {**camp_state(), "clock": clock})
        assert num_nodes() == before
    finally:
        gc.enable()


def test_before_the_first_state_there_is_nothing(camp: Game) -> None:
    blocks = StateBlocks(camp, count_words)
    assert (blocks.blocks, blocks.live, blocks.warnings) == ((), {}, ())
    assert blocks.patch([], {"clock": 1}).added == ()
    assert blocks.live == {"clock": 1}


def test_blocks_come_out_as_a_tuple_that_is_not_made_anew(camp: Game) -> None:
    blocks = taken(camp, camp_state())
    assert blocks.blocks is blocks.blocks
    assert all(isinstance(block, Block) for block in blocks.blocks)
