"""How much of the host's memory is taken: what was asked for, or a share of what is free, and said once."""

import logging
from pathlib import Path

import psutil
import pytest
import torch

from agent_runtime.block_cache import budget
from agent_runtime.block_cache.budget import free_bytes, open_host_tier
from agent_runtime.engine.host_memory import plain
from agent_runtime.engine.kv_geometry import KVGeometry
from agent_runtime.engine.pool import Pool
from tests.agent_runtime.engine.test_containers import contain

GIB = 2**30


def pool(devices: tuple[str, ...] = ("cpu", "cpu")) -> Pool:
    return Pool(KVGeometry(2, 4, torch.float32, tuple(map(torch.device, devices))), 8)


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    free = type("Memory", (), {"available": 64 * GIB})
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)


def test_free_is_what_the_machine_has_free_or_the_container_if_that_is_less(tmp_path: Path) -> None:
    assert free_bytes(tmp_path) == 64 * GIB
    assert free_bytes(contain(tmp_path / "small", 16 * GIB, 10 * GIB, may_go=2 * GIB)) == 8 * GIB
    assert free_bytes(contain(tmp_path / "large", 256 * GIB, GIB)) == 64 * GIB


def test_on_a_cpu_there_is_no_tier_unless_one_is_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert open_host_tier("m", pool(), None) is None and open_host_tier("m", pool(), 0) is None
        assert caplog.messages == []
        tier = open_host_tier("m", pool(), 512)
    assert tier is not None and not tier.keeps_loaded and tier.stats().budget_bytes == GIB // 2
    assert caplog.messages == ["model 'm' keeps blocks that leave its pool in up to 0.5 GiB of host memory (as asked)"]


def test_behind_one_gpu_it_is_a_quarter_of_what_is_free_and_behind_several_none(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "free_bytes", lambda: 64 * GIB)

    def on(*devices: str) -> Pool:
        made = pool()
        made.geometry = KVGeometry(2, 4, torch.float32, tuple(map(torch.device, devices)))
        return made

    with caplog.at_level(logging.INFO):
        tier = open_host_tier("m", on("cuda:0", "cuda:0"), None)
    assert tier is not None and tier.keeps_loaded and tier.stats().budget_bytes == 16 * GIB
    assert "pinned host memory (a quarter of what is free; --host-cache-mib says otherwise)" in caplog.messages[0]
    assert open_host_tier("m", on("cuda:0", "cuda:1"), None) is None
    asked = open_host_tier("m", on("cuda:0", "cuda:1"), 1)
    assert asked is not None and not asked.keeps_loaded


def test_several_that_take_a_quarter_each_leave_as_much_to_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    made = pool()
    made.geometry = KVGeometry(2, 4, torch.float32, (torch.device("cuda:0"),) * 2)
    free = [GIB]
    monkeypatch.setattr(budget, "_ASK_AGAIN_S", 3600.0)
    monkeypatch.setattr(budget, "free_bytes", lambda: free[0])
    monkeypatch.setattr(budget, "pinned", plain)
    tier = open_host_tier("m", made, None)
    assert tier is not None
    block = {"a": (torch.zeros(2, 5, 2, 4), torch.zeros(2, 5, 2, 4))}
    free[0] = GIB // 4  # others have taken theirs
    tier.put(block)
    assert tier.find("a") == set() and tier.stats().held_bytes == 0
    free[0] = GIB // 2
    tier.put(block)
    assert tier.find("a") == set(), "the machine is not asked again at once"
    monkeypatch.setattr(budget, "_ASK_AGAIN_S", 0.0)
    tier.put(block)
    assert tier.find("a") == {"a"}
    asked = open_host_tier("m", made, 256)
    free[0] = 0
    assert asked is not None
    asked.put(block)
    assert asked.find("a") == {"a"}, "who asks knows"
