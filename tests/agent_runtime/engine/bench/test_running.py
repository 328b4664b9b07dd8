"""A run: its refusals come before its check, its check before its figures."""

from typing import Any

import pytest
import torch
from transformers import LlamaConfig

from agent_runtime.engine.bench import running
from agent_runtime.engine.bench.errors import BadOption, NotByKernels, ScoresDiffer, TooLarge, TooLong
from agent_runtime.engine.bench.running import Run, bench, way_of
from agent_runtime.engine.bench.setting import Sizes
from agent_runtime.engine.bench.subject import Subject
from agent_runtime.engine.bench.ttft import gamecore
from tests.agent_runtime.engine.bench.small import SIZES

CPU = torch.device("cpu")


def run_of(num_blocks: int = 5, way: str = "torch", pool_gib: float = 0.0, **changes: Any) -> Run:
    config = LlamaConfig(**{**SIZES, "max_position_embeddings": 600, **changes})
    sizes = Sizes(observation=5, turns=2, max_rows=16, quiet_rows=64)
    return Run(Subject("small", config, CPU, torch.float32), gamecore(num_blocks, 9), sizes, way, pool_gib)


def test_a_report_says_what_was_measured_and_every_case_beside_its_floor() -> None:
    heard: list[dict[str, Any]] = []
    report = bench(run_of(), heard.append)
    assert [report["geometry"], report["weights"], report["way"]] == ["small", "random", "torch"]
    assert report["floors"]["bandwidth_B_s"] > 0 and report["sizes"]["turns"] == 2
    assert [case["case"] for case in report["cases"]] == [
        "gamecore: 5 blocks of 9",
        "gamecore, two changed",
        "gamecore, one changed, 16 actions",
    ]
    assert [case["new_tokens"] for case in report["cases"]] == [5, 5 + 2 * 9, 5 + 9 + 16 * 4]
    for case in report["cases"]:
        assert case["floor_ms"] > 0 and case["ratio_to_floor"] > 0
        assert case["device_ms"] is None, "of a CPU nothing is apart from the host"
    assert heard[0]["checked"] == report["checked"] and heard[1:] == report["cases"]


def test_a_pool_is_as_large_as_cases_need_or_as_it_is_asked_to_be() -> None:
    needed = run_of().num_slots()
    assert needed == (5 + 2 * 8) * 9 + 4 * 16
    assert run_of(pool_gib=0.001).num_slots() == int(0.001 * 2**30) // 256 > needed


def test_what_cannot_be_measured_is_refused_before_anything_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Subject, "made", lambda *given: pytest.fail("a model was made"))
    with pytest.raises(TooLong):
        bench(run_of(num_blocks=100))
    with pytest.raises(TooLarge):
        bench(run_of(pool_gib=10**6))
    with pytest.raises(NotByKernels):
        bench(run_of(way="kernels", head_dim=512))


def test_nothing_is_timed_where_scores_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    def differs(*given: object) -> None:
        raise ScoresDiffer("torch", "plain torch, queries moved", 0.5, 1e-4)

    monkeypatch.setattr(running, "check_way", differs)
    heard: list[dict[str, Any]] = []
    with pytest.raises(ScoresDiffer):
        bench(run_of(), heard.append)
    assert not heard


def test_kernels_are_for_gpus_unless_they_are_named() -> None:
    assert (way_of(None, CPU), way_of(None, torch.device("cuda"))) == ("torch", "kernels")
    assert way_of("kernels", CPU) == "kernels"
    with pytest.raises(BadOption, match="name kernels or torch"):
        way_of("magic", CPU)
