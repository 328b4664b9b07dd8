"""Sessions that are resident: nothing of them is computed twice, and each answers as if it were alone."""

import pytest
import torch

from agent_runtime.engine.bench import capacity
from agent_runtime.engine.bench.capacity import Capacity
from agent_runtime.engine.scheduler import Script
from tests.agent_runtime.engine.bench.small import small_setting

SMALL = Capacity("all", sessions=3, num_regions=5, num_seen=4, region_tokens=6, sheet_tokens=7, checked=2)


def test_as_many_as_the_pool_holds_are_opened_and_nothing_static_is_computed_again() -> None:
    setting = small_setting(SMALL, more_slots=4 * 7 + 6)
    found = SMALL.measure(setting)
    assert (found["sessions"], found["visible_tokens"]) == (3 + 4, 4 * 6 + 7)
    assert [each["encoded_tokens"] for each in found["rounds"]] == [0, 0]
    assert found["static_unchanged"] and found["books_balance"] and found["agrees"]
    assert found["checked_sessions"] == 2 and found["largest_distance"] < 1e-4 < found["distance_of_another"]
    assert (
        found["peak_reserved_GiB"] is None and found["sessions_if_each_had_a_copy"] == setting.bare.pool.num_slots // 31
    )
    setting.bare.pool.check([])


def test_a_session_that_sees_another_ones_sheet_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def confused(crowd: capacity._Crowd, number: int) -> Script[torch.Tensor]:
        return turn(crowd, (number + 1) % len(crowd.sessions))

    turn = capacity._Crowd._turn
    monkeypatch.setattr(capacity._Crowd, "_turn", confused)
    monkeypatch.setattr(capacity, "_on_host", lambda turn, keeps: turn)
    assert not SMALL.measure(small_setting(SMALL))["agrees"]


def test_what_is_overwritten_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def overwriting(crowd: capacity._Crowd, *given: capacity.Engine) -> capacity.Round:
        crowd._pool.keys[1][crowd.held[0].slots()[0], 0, 0] += 1
        return turns(crowd, *given)

    turns = capacity._Crowd.turns
    monkeypatch.setattr(capacity._Crowd, "turns", overwriting)
    assert not SMALL.measure(small_setting(SMALL))["static_unchanged"]
