"""Turns at a steady rate beside cold starts: what is counted, and that all of it ends."""

import threading
from collections.abc import Sequence

import pytest

from agent_runtime.engine.bench import load
from agent_runtime.engine.bench.load import _WARM_UP_BESIDE, Load
from agent_runtime.engine.bench.setting import WARM_UP
from agent_runtime.engine.errors import PoolFull
from agent_runtime.engine.scheduler import Script
from agent_runtime.engine.span import Span
from tests.agent_runtime.engine.bench.small import small_setting


def test_turns_are_timed_alone_and_beside_cold_starts() -> None:
    case = Load("beside", hz=1000.0, num_blocks=5, block_tokens=8)
    setting = small_setting(case, observation=4, turns=6, max_rows=16, quiet_rows=32)
    found = case.measure(setting)
    assert (found["hz"], found["static_tokens"], found["turns"]) == (1000.0, 40, 6)
    beside = found["beside_cold_start"]
    assert found["floor_ms"] == beside["floor_ms"] > 0
    assert found["p99_more_ms"] == pytest.approx(beside["p99_ms"] - found["p99_ms"], abs=2e-3)
    assert found["cold_starts"] >= 1 and found["cold_start_ms"] > 0
    # All that was computed are turns, and whole cold starts: those counted, and at least one of the warm-up.
    turns = _WARM_UP_BESIDE + WARM_UP + 2 * 6
    cold, rest = divmod(setting.runner.rows - turns * 4, 40)
    assert rest == 0 and cold > found["cold_starts"]
    setting.bare.pool.check([])
    assert not [each for each in threading.enumerate() if each.name.startswith("cold starts")]


def test_a_cold_start_that_fails_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(spans: Sequence[Span]) -> Script[None]:
        raise PoolFull(needed=1, free=0, capacity=0)
        yield spans

    monkeypatch.setattr(load, "encoding", failing)
    case = Load("beside", hz=1000.0, num_blocks=1, block_tokens=8)
    with pytest.raises(PoolFull):
        case.measure(small_setting(case))
