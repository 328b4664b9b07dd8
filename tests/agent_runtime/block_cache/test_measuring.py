"""Rates measured on a model: they are there, they leave no trace, and a slow device is not asked for much."""

import pytest

from agent_runtime.block_cache import measuring
from agent_runtime.block_cache.measuring import measure
from tests.agent_runtime.engine.worlds import world


@pytest.mark.parametrize("num_slots", [1, 7, 40, 4096])
def test_any_pool_is_measured_and_left_as_it_was(num_slots: int) -> None:
    w = world(num_slots=num_slots)
    rates = measure(w.runner)
    assert rates.forward_s > 0 and rates.encode_tokens_s > 0 and rates.copy_s >= 0 and rates.copy_tokens_s > 0
    assert rates.read_tokens_s is None
    assert w.pool.num_free == num_slots and (w.runner.rows, w.runner.forwards) == (0, 0)
    w.pool.check([])


def test_a_slow_device_computes_no_more_than_it_can_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def encoded(runner: object, rows: int) -> float:
        asked.append(rows)
        return rows / 100

    monkeypatch.setattr(measuring, "_encoded", encoded)
    rates = measure(world().runner)
    assert asked == [8] and rates.encode_tokens_s == 100 and rates.forward_s == 0.08


def test_the_largest_forward_gives_the_rate_and_the_smallest_what_any_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "_encoded", lambda runner, rows: max(0.006, rows / 40_000))
    rates = measure(world().runner)
    assert rates.forward_s == 0.006 and rates.encode_tokens_s == pytest.approx(40_000)
