"""Turns a second by blocks and by prefix reuse: what each computes, and where the two are set side by side."""

import pytest

from agent_runtime.engine.bench.throughput import Throughput
from tests.agent_runtime.engine.bench.small import small_setting


def test_turns_compute_what_is_asked_and_prefix_reuse_what_lies_behind_the_change() -> None:
    case = Throughput("turns", sessions=7, num_regions=6, num_seen=4, region_tokens=10, rounds=2, prefix_turns=2)
    setting = small_setting(case, observation=5, max_rows=16)
    found = case.measure(setting)
    assert (found["sessions"], found["static_tokens"], found["encoded_tokens"]) == (7, 40, 0)
    # Turns join while there are fewer than 16 rows: four each, or the first alone before the others have come.
    assert 2 <= found["forwards"] <= 3
    assert found["turns_s"] == pytest.approx(7 / (1e-3 * found["median_ms"]), rel=0.01)
    prefix = found["prefix"]
    assert (prefix["turns"], prefix["computed_tokens"]) == (2, round((30 + 10) / 2 + 5))
    assert found["ratio_to_prefix"] == pytest.approx(found["turns_s"] / prefix["turns_s"], abs=0.01)
    assert found["floor_ms"] > 0 and prefix["floor_ms"] > 0
    setting.bare.pool.check([])


def test_a_prompt_that_changes_at_its_beginning_is_computed_whole() -> None:
    case = Throughput("turns", sessions=1, num_regions=2, num_seen=1, region_tokens=8, rounds=1, prefix_turns=1)
    found = case.measure(small_setting(case))
    assert found["prefix"]["computed_tokens"] == 8 + 5
