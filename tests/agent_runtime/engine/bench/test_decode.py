"""Decode steps of many sessions and of one: every step is one forward of a token each."""

from agent_runtime.engine.bench.decode import Decode
from agent_runtime.engine.bench.setting import WARM_UP
from tests.agent_runtime.engine.bench.small import small_setting


def test_a_step_of_many_is_set_beside_a_step_of_one() -> None:
    case = Decode("steps", sessions=4, num_regions=5, region_tokens=9)
    setting = small_setting(case, observation=7, turns=3)
    found = case.measure(setting)
    assert (found["sessions"], found["static_tokens"], found["turns"]) == (4, 45, 3)
    assert found["ratio_to_one"] == round(found["median_ms"] / found["one"]["median_ms"], 3)
    assert found["floor_ms"] > found["one"]["floor_ms"] > 0
    steps = WARM_UP + 3
    assert setting.runner.forwards == 2 * (1 + steps)
    assert setting.runner.rows == (4 + 1) * (7 + steps)
    setting.bare.pool.check([])


def test_all_tails_find_room_in_what_it_asks_for() -> None:
    case = Decode("steps", sessions=3, num_regions=2, region_tokens=4)
    found = case.measure(small_setting(case, observation=16, turns=40, max_rows=1))
    assert found["one"]["median_ms"] > 0
