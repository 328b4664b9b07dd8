"""agent_runtime.designer.adviser: all advice together, with figures that hold, and none without need."""

import tomllib
from pathlib import Path

from agent_runtime.designer.following import follow
from agent_runtime.designer.reckoning import costs_under
from prompts import load_game
from tests.agent_runtime.designer.worlds import (
    FRAMES,
    LONG,
    advice_on,
    all_advice,
    counter,
    course_of,
    moving_units,
    only,
    written_into,
)
from tests.prompts.worlds import UNITS, live, rule, some_units


def test_following_an_advice_costs_what_it_said(tmp_path: Path) -> None:
    states = [{"units": some_units(5), "meta": {"tick": n, "story": LONG}} for n in range(FRAMES)]
    course = course_of(tmp_path, UNITS, states)
    piece = only(advice_on(course)["live"])
    assert piece.toml is not None and tomllib.loads(piece.toml)
    written_into(course.game.folder, piece.toml)
    assert costs_under(load_game(course.game.folder), course.file, counter()) == piece.after


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
