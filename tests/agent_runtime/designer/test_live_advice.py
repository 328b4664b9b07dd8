"""agent_runtime.designer.live_advice: what changes often is to be live, where that helps."""

from pathlib import Path

from tests.agent_runtime.designer.worlds import FRAMES, LONG, advice_on, all_advice, course_of, only
from tests.prompts.worlds import UNITS, rule, some_units


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
