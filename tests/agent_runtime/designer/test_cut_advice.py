"""agent_runtime.designer.cut_advice: lasting names, and blocks of a useful size."""

import copy
import tomllib
from pathlib import Path
from typing import Any

from agent_runtime.designer.reckoning import costs_under
from prompts import load_game
from tests.agent_runtime.designer.worlds import FRAMES, LONG, advice_on, counter, course_of, only
from tests.prompts.worlds import rule, some_units


def test_members_of_an_array_that_come_and_go_are_to_have_names(tmp_path: Path) -> None:
    states = [{"units": some_units(20)[number % 5 :]} for number in range(FRAMES)]
    piece = only(advice_on(course_of(tmp_path, rule("/units/*", "unit/{key}"), states))["key"])
    assert "name them by their 'id'" in piece.sentence
    assert piece.toml == 'key = "id"\n# in the [[segment]] with match = "/units/*"'


def test_a_large_block_of_which_little_changes_is_to_be_split(tmp_path: Path) -> None:
    board = {f"{a}{b}": {"hp": 100, "kind": "wall"} for a in "abcdef" for b in range(9)}
    states = []
    for number in range(FRAMES):
        board["c3"]["hp"] -= number % 2
        states.append(copy.deepcopy({"board": board}))
    piece = only(advice_on(course_of(tmp_path, rule("/board", "board"), states))["split"])
    assert piece.toml == 'max_tokens = 128\n# in the [[segment]] with match = "/board"'
    assert piece.saved > 100


def test_a_rule_for_whatever_there_is_is_to_split_what_is_large_though_prefix_pays_a_little(tmp_path: Path) -> None:
    states: list[Any] = []
    for tick in range(FRAMES):
        guards = [{"name": f"guard {i}", "post": "wall", "hp": 100 - (i == tick)} for i in range(90)]
        states.append({"at": tick, "land": "A castle on a hill. " * 8, "guards": guards})
    piece = only(advice_on(course_of(tmp_path, rule("/*", "{key}"), states))["split"])
    assert piece.before is not None and piece.after is not None
    saved, lost = (
        piece.before.blocks_mode - piece.after.blocks_mode,
        piece.after.prefix_mode - piece.before.prefix_mode,
    )
    assert 0.05 * piece.before.prefix_mode < lost < 0.25 * saved


def test_many_small_blocks_are_to_be_grouped(tmp_path: Path) -> None:
    states = [{"tiles": {f"t{n}": "abc"[n % 3] for n in range(30)}} for _ in range(9)]
    course = course_of(tmp_path, rule("/tiles/*", "tile/{key}"), states)
    piece = only(advice_on(course)["group"])
    assert "`tile/*` is" in piece.sentence and "tokens a block, 30 blocks in a frame" in piece.sentence
    assert piece.toml is not None
    assert tomllib.loads(piece.toml) == {"segment": [{"match": "/tiles", "name": "tile", "max_tokens": 160}]}


def test_small_blocks_that_change_often_stay_apart(tmp_path: Path) -> None:
    states = [{"tiles": {f"t{n}": "abc"[(n + f) % 3] if n < 4 else "x" for n in range(30)}} for f in range(9)]
    assert "group" not in advice_on(course_of(tmp_path, rule("/tiles/*", "tile/{key}"), states))


def test_small_members_of_the_state_itself_are_to_be_grouped(tmp_path: Path) -> None:
    states = [{f"t{n}": "abc"[n % 3] for n in range(30)} for _ in range(9)]
    piece = only(advice_on(course_of(tmp_path, rule("/*", "{key}"), states))["group"])
    assert piece.toml is not None
    assert tomllib.loads(piece.toml) == {"segment": [{"match": "", "name": "all", "max_tokens": 160}]}


def test_many_small_blocks_under_wildcards_alone_are_to_be_grouped_in_front_of_them(tmp_path: Path) -> None:
    states = [{"tiles": {f"t{n}": "abc"[n % 3] for n in range(30)}, "lore": {"old": LONG}} for _ in range(9)]
    course = course_of(tmp_path, rule("/*/*", "{1}/{2}"), states)
    piece = only(advice_on(course)["group"])
    assert "`tiles/*` is" in piece.sentence and "30 blocks in a frame" in piece.sentence
    assert piece.toml is not None and piece.toml.endswith('# in front of the [[segment]] with match = "/*/*"')
    assert tomllib.loads(piece.toml) == {"segment": [{"match": "/tiles", "name": "tiles", "max_tokens": 160}]}
    file = course.game.folder / "game.toml"
    there = file.read_text(encoding="utf-8")
    file.write_text(there.replace("[[segment]]", f"{piece.toml}\n[[segment]]", 1), encoding="utf-8")
    assert costs_under(load_game(course.game.folder), course.file, counter()) == piece.after


def test_one_large_member_among_small_ones_is_to_be_split(tmp_path: Path) -> None:
    board = {f"{a}{b}": {"hp": 100, "kind": "wall"} for a in "abcdef" for b in range(9)}
    states = []
    for number in range(FRAMES):
        board[f"{'abcdef'[number % 6]}{number % 9}"]["hp"] -= 1
        states.append(copy.deepcopy({"board": board, **{f"lore{n}": LONG for n in range(12)}}))
    piece = only(advice_on(course_of(tmp_path, rule("/*", "{key}"), states))["split"])
    assert piece.sentence.startswith("`board` has") and piece.toml is not None and piece.saved > 100
    assert tomllib.loads(piece.toml) == {"segment": [{"match": "/board", "name": "board", "max_tokens": 128}]}
