"""agent_runtime.designer.advice: each piece is given where it helps, with figures, and not where it does not."""

import copy
import random
import tomllib
from pathlib import Path
from typing import Any

from agent_runtime.designer.advice import Advice
from agent_runtime.designer.course import costs_under, follow
from prompts import load_game
from tests.agent_runtime.designer.worlds import advice_on, all_advice, counter, course_of
from tests.prompts.worlds import UNITS, live, rule, some_units

FRAMES = 41
LONG = "The keep has stood for three hundred years and has been taken twice, both times by treason. " * 2


def written_into(course_folder: Path, toml: str) -> None:
    """Do what an advice says: add its tables to game.toml."""
    file = course_folder / "game.toml"
    file.write_text(file.read_text("utf-8") + "\n" + toml, encoding="utf-8")


def only(pieces: list[Advice]) -> Advice:
    (piece,) = pieces
    return piece


def test_a_member_that_no_rule_takes_and_that_changes_each_frame_is_to_be_live(tmp_path: Path) -> None:
    states = [{"units": some_units(5), "meta": {"tick": n}} for n in range(FRAMES)]
    course = course_of(tmp_path, UNITS, states)
    piece = only(advice_on(course)["live"])
    assert piece.sentence == "`rest/meta` changed in 40 of 40 frames: make it live."
    assert piece.toml == '[[live]]\nmatch = "/meta"' or piece.toml == '[[live]]\nmatch = "/meta/tick"'


def test_of_a_block_that_is_mostly_still_only_what_changes_is_to_be_live(tmp_path: Path) -> None:
    states = [{"units": [], "meta": {"tick": n, "story": LONG}} for n in range(FRAMES)]
    course = course_of(tmp_path, rule("/meta", "meta"), states)
    piece = only(advice_on(course)["live"])
    assert piece.sentence == "In `meta`, `tick` changed in 40 of 40 frames: make it live, the rest can stay a block."
    assert piece.toml == '[[live]]\nmatch = "/meta/tick"'
    assert piece.place == f"{course.game.folder / 'game.toml'}:4"
    assert piece.before is not None and piece.after is not None
    assert piece.after.blocks_mode < piece.before.blocks_mode / 5


def test_following_an_advice_costs_what_it_said(tmp_path: Path) -> None:
    states = [{"units": some_units(5), "meta": {"tick": n, "story": LONG}} for n in range(FRAMES)]
    course = course_of(tmp_path, UNITS, states)
    piece = only(advice_on(course)["live"])
    assert piece.toml is not None and tomllib.loads(piece.toml)
    written_into(course.game.folder, piece.toml)
    assert costs_under(load_game(course.game.folder), course.file, counter()) == piece.after


def test_a_member_of_every_part_is_named_by_the_rule(tmp_path: Path) -> None:
    states = [{"units": [{**unit, "seen": n, "story": LONG} for unit in some_units(3)]} for n in range(FRAMES)]
    assert only(advice_on(course_of(tmp_path, UNITS, states))["live"]).toml == '[[live]]\nmatch = "/units/*/seen"'


def test_what_a_template_shows_is_not_to_be_live(tmp_path: Path) -> None:
    states = [{"ovens": [{"id": "left", "minutes": n, "story": LONG}]} for n in range(FRAMES)]
    toml = rule("/ovens/*", "oven/{key}", key="id", render="oven.md")
    files = {"oven.md": "{{ value.story }} {{ value.minutes }} minutes in."}
    for piece in all_advice(course_of(tmp_path, toml, states, files)).pieces:
        assert "/minutes" not in (piece.toml or "")


def test_what_is_large_stays_in_blocks_however_often_it_changes(tmp_path: Path) -> None:
    states = [{"units": [{**unit, "hp": n, "story": f"{n} {LONG}"} for unit in some_units(9)]} for n in range(9)]
    assert "live" not in advice_on(course_of(tmp_path, UNITS, states))


def test_an_observation_that_does_not_show_what_becomes_live_is_pointed_out(tmp_path: Path) -> None:
    states = [{"clock": n} for n in range(FRAMES)]
    files = {"observation.md": "{{ text }}{% for a, b in actions %}{{ a }}{% endfor %}"}
    piece = only(advice_on(course_of(tmp_path, "", states, files))["live"])
    assert '{{ live["clock"] }}' in piece.sentence


def test_a_live_rule_that_the_observation_never_shows_is_pointed_out(tmp_path: Path) -> None:
    files = {"observation.md": "{{ text }}"}
    found = advice_on(course_of(tmp_path, live("/clock"), [{"clock": n, "a": 1} for n in range(9)], files))
    assert "no agent ever sees" in only(found["hidden_live"]).sentence


def moving_units(num_frames: int = FRAMES) -> list[Any]:
    generator, units, states = random.Random(1), some_units(6), []
    for number in range(num_frames):
        units[generator.randrange(6)]["hp"] = 100 + number
        states.append(copy.deepcopy({"units": units, "tiles": {f"t{n}": LONG for n in range(4)}}))
    return states


def test_what_changes_often_is_to_stand_behind_what_does_not(tmp_path: Path) -> None:
    toml = rule("/units/*", "unit/{key}", key="id", order=1) + rule("/tiles/*", "tile/{key}", order=2)
    course = course_of(tmp_path, toml, moving_units())
    piece = only(advice_on(course)["order"])
    assert "`unit/*` changes in 40 of 40 frames and stands before" in piece.sentence
    assert piece.toml is not None
    assert piece.toml.splitlines() == ["order = 0    # /tiles/*", "order = 10   # /units/*"]
    assert piece.before is not None and piece.after is not None
    assert piece.after.prefix_mode < piece.before.prefix_mode / 2
    assert piece.after.blocks_mode == piece.before.blocks_mode


def test_an_order_that_is_right_is_left_alone(tmp_path: Path) -> None:
    toml = rule("/tiles/*", "tile/{key}") + rule("/units/*", "unit/{key}", key="id")
    assert "order" not in advice_on(course_of(tmp_path, toml, moving_units()))


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


def test_what_no_rule_takes_is_named_with_its_size_and_a_rule_for_it(tmp_path: Path) -> None:
    states = [{"units": some_units(2), "Lore {x}": LONG} for _ in range(9)]
    piece = only(advice_on(course_of(tmp_path, UNITS, states))["rest"])
    assert "`rest/Lore {x}` is not matched by any rule" in piece.sentence and "0 of 8 frames" in piece.sentence
    assert piece.toml is not None
    assert tomllib.loads(piece.toml) == {"segment": [{"match": "/Lore {x}", "name": "Lore (x)"}]}


def test_a_rule_that_takes_nothing_is_named_with_what_it_may_have_meant(tmp_path: Path) -> None:
    course = course_of(tmp_path, UNITS + rule("/tils/*", "tile/{key}"), [{"units": some_units(2), "tiles": {"a": 1}}])
    piece = only(advice_on(course)["unused"])
    assert "'/tils/*' takes nothing" in piece.sentence and "Did you mean 'tiles'?" in piece.sentence
    assert piece.place == f"{course.game.folder / 'game.toml'}:9"


def test_what_max_tokens_splits_is_said(tmp_path: Path) -> None:
    toml = rule("/story", "story", max_tokens=20)
    piece = only(advice_on(course_of(tmp_path, toml, [{"story": LONG}] * 5))["max_tokens"])
    assert "max_tokens = 20 splits 1 of the 1 parts of `story`" in piece.sentence


def test_a_prompt_that_is_too_long_is_said_with_what_lies_beyond(tmp_path: Path) -> None:
    course = course_of(tmp_path, UNITS, [{"units": some_units(20)}], context=60)
    assert "prompt of frame 1 has" in only(advice_on(course)["context"]).sentence


def test_few_frames_say_what_they_cannot_tell(tmp_path: Path) -> None:
    found = advice_on(course_of(tmp_path, "", [{"meta": {"tick": n}} for n in range(2)]))
    assert "2 frames are too few" in only(found["few"]).sentence and "live" not in found


def test_warnings_of_the_state_are_passed_on_with_their_frame(tmp_path: Path) -> None:
    states = [{"units": [{"id": "a"}]}, {"units": [{"id": "a"}, {"id": "a"}]}]
    piece = only(advice_on(course_of(tmp_path, UNITS, states))["warning"])
    assert piece.sentence.startswith("Frame 2: /units: two members have the 'id' 'a'")


def test_a_game_that_is_cut_well_gets_no_advice(tmp_path: Path) -> None:
    toml = live("/clock") + rule("/tiles/*", "tile/{key}") + rule("/units/*", "unit/{key}", key="id")
    states = [{**state, "clock": number} for number, state in enumerate(moving_units())]
    assert advice_on(course_of(tmp_path, toml, states)) == {}


def test_all_advice_together_is_tried_together(tmp_path: Path) -> None:
    toml = rule("/units/*", "unit/{key}", order=1) + rule("/tiles/*", "tile/{key}", order=2)
    states = [{**state, "clock": number} for number, state in enumerate(moving_units())]
    advices = all_advice(course := course_of(tmp_path, toml, states))
    assert {"live", "order"} <= {advice.kind for advice in advices.pieces}
    assert advices.after is not None
    assert advices.after.prefix_mode < advices.before.prefix_mode / 2
    assert advices.after.num_blocks < advices.before.num_blocks
    assert follow(course.game, course.file, counter()).costs == advices.before
