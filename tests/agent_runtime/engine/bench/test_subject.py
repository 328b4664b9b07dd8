"""What is measured is refused in a sentence before anything large is made."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig

from agent_runtime.engine.bench import subject
from agent_runtime.engine.bench.errors import BadOption, NotByKernels, TooLarge, TooLong
from agent_runtime.engine.bench.geometry import config_of
from agent_runtime.engine.bench.subject import Subject, device_of, dtype_of
from agent_runtime.engine.containers import memory_limits
from agent_runtime.engine.errors import NoCuda
from tests.agent_runtime.engine.bench.small import SIZES
from tests.agent_runtime.engine.test_containers import contain

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


def small(device: torch.device = CPU, **changes: Any) -> Subject:
    return Subject("small", LlamaConfig(**{**SIZES, **changes}), device, torch.float32)


def test_a_model_that_memory_does_not_hold_is_refused_unmade(monkeypatch: pytest.MonkeyPatch) -> None:
    large = Subject("llama-3.1-8b", config_of("llama-3.1-8b"), GPU, torch.bfloat16)
    monkeypatch.setattr(subject, "memory_of", lambda device: 16 * 2**30)
    large.require_memory(1000)
    with pytest.raises(TooLarge) as refused:
        large.require_memory(100_000)
    assert str(refused.value).startswith(
        "llama-3.1-8b takes 15.0 GiB of weights and 12.2 GiB of keys and values, and cuda:0 has 16.0 GiB: name a "
    )


def test_where_the_system_does_not_say_how_much_memory_there_is_nothing_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    has = subject.memory_of(CPU)
    assert has is None or has > 2**20
    monkeypatch.setattr(subject, "memory_of", lambda device: None)
    small().require_memory(10**12)


def test_on_a_cpu_a_containers_limit_counts_and_a_wider_one_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_PHYS_PAGES": 2**18, "SC_PAGE_SIZE": 4096}[name], raising=False)
    assert subject.memory_of(CPU, tmp_path) == 2**30
    assert subject.memory_of(CPU, contain(tmp_path / "large", 2**40, 5)) == 2**30
    assert subject.memory_of(CPU, contain(tmp_path / "small", 2**20, 2**19)) == 2**20
    monkeypatch.setattr(subject, "memory_limits", lambda root: memory_limits(tmp_path / "small"))
    with pytest.raises(TooLarge, match=r"and cpu has 0\.0 GiB"):
        small().require_memory(10_000)


def test_a_prompt_beyond_the_context_is_refused() -> None:
    small().require_positions(40_000)
    with pytest.raises(TooLong, match="40001 positions, and the context of small ends at 40000"):
        small().require_positions(40_001)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"head_dim": 512}, "heads have 512 dimensions"),
        ({"head_dim": 16, "rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}}, "8 of a head's"),
    ],
)
def test_heads_that_the_kernels_cannot_do_are_refused(
    changes: dict[str, Any], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "not_on_this_machine", lambda device: None)
    small(GPU).require_kernels()
    with pytest.raises(NotByKernels, match="--way torch") as refused:
        small(GPU, **changes).require_kernels()
    assert why in str(refused.value)


def test_kernels_on_a_cpu_are_refused_unless_they_are_interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    small().require_kernels()
    monkeypatch.delenv("TRITON_INTERPRET")
    with pytest.raises(NotByKernels, match="NVIDIA"):
        small().require_kernels()


@pytest.mark.parametrize("call", [lambda: device_of("mps"), lambda: device_of("meta")])
def test_a_device_that_is_not_there_is_refused(call: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_of(None) == device_of("cpu") == CPU
    with pytest.raises(NoCuda, match="'cuda' cannot be used"):
        device_of("cuda")
    with pytest.raises(BadOption, match="--device: .* name cpu"):
        call()


def test_keys_have_the_dtype_of_their_device() -> None:
    assert (dtype_of(None, CPU), dtype_of(None, GPU)) == (torch.float32, torch.bfloat16)
    assert dtype_of("float16", GPU) == torch.float16


def test_a_folder_whose_configuration_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="there is no geometry .*: name one of llama-3.1-8b"):
        config_of(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "no such thing"}))
    with pytest.raises(BadOption, match="cannot read"):
        config_of(str(tmp_path))
