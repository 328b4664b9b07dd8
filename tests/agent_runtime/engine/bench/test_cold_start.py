"""Cold starts: what is computed, in how many forwards, and what that takes at the least."""

import pytest

from agent_runtime.engine.bench.cold_start import ColdStart
from tests.agent_runtime.engine.bench.small import small_setting


def test_packed_forwards_hold_as_many_blocks_as_quiet_rows_allow() -> None:
    case = ColdStart("all", "forwards", num_blocks=7, block_tokens=20, times=2)
    setting = small_setting(case, quiet_rows=64)
    found = case.measure(setting)
    assert (found["rows"], found["forwards"], found["rows_per_forward"]) == (140, 3, 46.7)
    bare = setting.bare
    layers = bare.weight_bytes // 4 - bare.num_head_weights
    operations = 2 * layers * 140 + bare.operations_per_key * 7 * 210
    assert found["floor_ms"] == pytest.approx(1e3 * operations / 1e10, abs=1e-6)
    assert found["share_of_matmul"] == pytest.approx(found["TFLOP_s"] * 1e12 / 1e10, abs=0.2)
    bare.pool.check([])


def test_the_scheduler_brings_them_in_pieces_that_share_forwards() -> None:
    case = ColdStart("all", "scheduler", num_blocks=6, block_tokens=130, times=1)
    setting = small_setting(case, quiet_rows=1000)
    found = case.measure(setting)
    assert found["rows"] == 780
    # One block a piece: the first may be alone, before the others have come.
    assert 1 <= found["forwards"] <= 6
    setting.bare.pool.check([])
