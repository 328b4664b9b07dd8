"""Blocks from the host: every way brings the same, and is set beside one plain copy."""

import dataclasses

import pytest
import torch

from agent_runtime.engine.bench import transfer
from agent_runtime.engine.bench.transfer import CASES, Transfer
from tests.agent_runtime.engine.bench.small import small_setting


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.way)
def test_blocks_are_there_whichever_way_they_came(case: Transfer) -> None:
    case = dataclasses.replace(case, num_blocks=4, block_tokens=6, times=2)
    setting = small_setting(case)
    found = case.measure(setting)
    assert found["equal"] and (found["blocks"], found["times"]) == (4, 2)
    num_bytes = 4 * 6 * setting.bare.pool.geometry.bytes_per_token
    assert found["GiB"] == round(num_bytes / 2**30, 6)
    assert found["share_of_link"] == pytest.approx(1 / found["ratio_to_floor"], abs=1e-3)
    assert 0 < found["host_ms"] <= found["p99_ms"] + 1e-3
    setting.bare.pool.check([])


def test_a_block_that_is_not_what_was_stored_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def torn(pool: transfer.Pool, stored: transfer._Blocks) -> None:
        pool.write_all([(run, k, torch.zeros_like(v)) for run, k, v in stored])

    monkeypatch.setattr(transfer, "_together", torn)
    case = Transfer("torn", "together", num_blocks=2, block_tokens=3, times=1)
    assert not case.measure(small_setting(case))["equal"]
