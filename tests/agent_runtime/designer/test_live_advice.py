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


def things(**changing: object) -> dict[str, object]:
    """A state of which most never changes."""
    return {**{f"lore{number}": LONG for number in range(12)}, **changing}


def test_under_a_rule_for_whatever_there_is_each_member_of_the_state_is_looked_at(tmp_path: Path) -> None:
    states = [things(meta={"tick": n}, story={"page": n, "text": LONG}) for n in range(FRAMES)]
    course = course_of(tmp_path, rule("/*", "{key}"), states)
    whole, part = sorted(advice_on(course)["live"], key=lambda piece: piece.about)
    assert whole.sentence == "`meta` changed in 40 of 40 frames: make it live."
    assert whole.toml is not None and whole.toml.startswith('[[live]]\nmatch = "/meta')
    assert part.sentence == "In `story`, `page` changed in 40 of 40 frames: make it live, the rest can stay a block."
    assert part.toml == '[[live]]\nmatch = "/story/page"'
    assert part.place == f"{course.game.folder / 'game.toml'}:4"
    assert part.after is not None and part.saved > 20


def test_a_rule_of_wildcards_alone_is_looked_at_by_the_first_of_them(tmp_path: Path) -> None:
    states = [{"units": some_units(20), "meta": {"tick": n, "hour": n}} for n in range(FRAMES)]
    piece = only(advice_on(course_of(tmp_path, rule("/*/*", "{1}/{2}"), states))["live"])
    assert piece.about == "meta/*" and piece.toml == '[[live]]\nmatch = "/meta/*"'


def test_what_all_members_share_is_said_once(tmp_path: Path) -> None:
    states = [{f"unit{u}": {"seen": n, "story": LONG} for u in range(9)} for n in range(FRAMES)]
    assert (
        only(advice_on(course_of(tmp_path, rule("/*", "{key}"), states))["live"]).toml == '[[live]]\nmatch = "/*/seen"'
    )


def test_members_of_an_array_are_alike_and_none_of_them_is_to_be_live(tmp_path: Path) -> None:
    states = [[{"id": "scout", "at": n}, *some_units(20)] for n in range(FRAMES)]
    course = course_of(tmp_path, rule("/*", "unit/{key}", key="id"), states)
    assert "live" not in advice_on(course)


def test_all_members_that_become_live_are_together_no_more_than_one_may_be(tmp_path: Path) -> None:
    states = [things(**{f"news{m}": {"text": f"{n} {LONG}"} for m in range(9)}) for n in range(FRAMES)]
    course = course_of(tmp_path, rule("/*", "{key}"), states)
    pieces = advice_on(course)["live"]
    assert len(pieces) == 3, "of 60 tokens each"


def test_a_rule_that_takes_the_rest_whole_names_what_is_in_it(tmp_path: Path) -> None:
    states = [things(meta={"tick": n}) for n in range(FRAMES)]
    piece = only(advice_on(course_of(tmp_path, rule("/**", "all"), states))["live"])
    assert piece.toml == '[[live]]\nmatch = "/meta/tick"'
