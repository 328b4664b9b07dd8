"""agent_runtime.designer.remarks: what is told without a trial."""

import tomllib
from pathlib import Path

from tests.agent_runtime.designer.worlds import LONG, advice_on, course_of, only
from tests.prompts.worlds import UNITS, live, rule, some_units


def test_a_live_rule_that_the_observation_never_shows_is_pointed_out(tmp_path: Path) -> None:
    files = {"observation.md": "{{ text }}"}
    found = advice_on(course_of(tmp_path, live("/clock"), [{"clock": n, "a": 1} for n in range(9)], files))
    assert "no agent ever sees" in only(found["hidden_live"]).sentence


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
