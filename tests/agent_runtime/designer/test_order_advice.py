"""agent_runtime.designer.order_advice: what seldom changes comes first."""

from pathlib import Path

from tests.agent_runtime.designer.worlds import advice_on, course_of, moving_units, only
from tests.prompts.worlds import rule


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
