"""A device that torch cannot use, or that is too small, is told in a sentence that says what to do."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from agent_runtime.engine import devices
from agent_runtime.engine.bench.__main__ import main as bench
from agent_runtime.engine.devices import fitting, require_device, unused_gpu
from agent_runtime.engine.errors import DeviceTooSmall, NoCuda
from agent_runtime.engine.loading import ModelSpec, load_model
from tests.tiny_models import save_tiny_model

TOO_OLD = "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver by going"


@pytest.fixture(autouse=True)
def without_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose torch is built for CUDA and sees no device."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "init", lambda: None)


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*given: Any, **named: Any) -> Any:
        raise error

    return fail


def with_gpus(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda number: (2**30, 80 * 2**30))


@pytest.mark.parametrize(
    ("device", "device_map"), [("cuda", None), ("cuda:0", None), (None, "cuda"), (None, {"a": "cpu", "b": 0})]
)
def test_a_driver_without_cuda_is_told_with_what_to_do(
    device: str | None, device_map: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NoCuda, match=r"'cuda(:0)?' cannot be used: torch sees no GPU. Look whether CUDA_VISIBLE_"):
        require_device(device, device_map)
    monkeypatch.setattr(torch.cuda, "init", raising(RuntimeError(TOO_OLD)))
    with pytest.raises(
        NoCuda, match=r"is too old \(found version 11040\). Install or update NVIDIA's driver, or .* CPU"
    ):
        require_device(device, device_map)
    monkeypatch.setattr(torch.cuda, "init", raising(RuntimeError("No CUDA GPUs are available")))
    with pytest.raises(NoCuda, match="No CUDA GPUs are available. Look whether CUDA_VISIBLE_DEVICES"):
        require_device(device, device_map)
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: False)
    with pytest.raises(NoCuda, match="is built without CUDA. Install a torch that is built for CUDA"):
        require_device(device, device_map)


def test_a_gpu_that_is_not_there_is_told_with_those_that_are(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(monkeypatch, 2)
    require_device("cuda:1", {"": "cuda", "head": 1})
    with pytest.raises(NoCuda, match="'cuda:2' cannot be used: there are cuda:0 to cuda:1. Name one of those"):
        require_device("cuda:2", None)
    with pytest.raises(NoCuda, match="'cuda:first' cannot be used: a device is called cuda, or cuda:0 and so on"):
        require_device(None, "cuda:first")
    with_gpus(monkeypatch, 1)
    with pytest.raises(NoCuda, match="there is only cuda:0"):
        require_device(None, "cuda:1")


@pytest.mark.parametrize("device_map", [None, "auto", "balanced", {"": "cpu"}, {"": "disk"}])
def test_what_names_no_gpu_needs_none(device_map: Any) -> None:
    require_device(None, device_map)
    require_device("cpu", device_map)


def test_a_gpu_that_torch_cannot_use_is_told_once_and_one_that_is_hidden_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "agent_runtime.engine.loading")
    spec = ModelSpec(str(save_tiny_model(tmp_path / "guard")))
    monkeypatch.setattr(devices, "_DRIVER", str(tmp_path / "none"))
    monkeypatch.setattr(devices, "_TOOL", "no-such-tool-anywhere")
    load_model(spec, tmp_path / "cache")
    assert unused_gpu() is None and not caplog.records, "there is no GPU"
    monkeypatch.setattr(devices, "_DRIVER", os.devnull)
    monkeypatch.setattr(torch.cuda, "init", raising(RuntimeError(TOO_OLD)))
    load_model(spec, tmp_path / "cache")
    [record] = caplog.records
    assert record.getMessage().startswith("the model computes on the CPU: The NVIDIA driver on your system is too old")
    assert "Please" not in record.getMessage() and record.getMessage().endswith("for an older CUDA.")
    load_model(ModelSpec(spec.source, device="cpu"), tmp_path / "cache")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    load_model(spec, tmp_path / "cache")
    assert len(caplog.records) == 1, "who asks for the CPU knows"


def test_a_model_too_large_for_the_card_says_what_would_help(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save_tiny_model(tmp_path / "guard")
    full = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", raising(full))
    with pytest.raises(DeviceTooSmall) as refused:
        load_model(ModelSpec(str(folder), dtype="float32", device="cpu"), tmp_path / "cache")
    assert str(refused.value).startswith("The model 'guard' in float32 does not fit into the device's memory. Take a ")
    assert "--dtype bfloat16" in str(refused.value) and "--device-map auto" in str(refused.value)


def test_what_does_not_fit_is_told_with_the_memory_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(monkeypatch, 1)
    said = r"^A pool does not fit into the GPU's memory \(80.0 GiB, 1.0 of them free\). Lower it.$"
    with pytest.raises(DeviceTooSmall, match=said), fitting("A pool", "Lower it."):
        raise torch.OutOfMemoryError("CUDA out of memory")
    with_gpus(monkeypatch, 2)
    with pytest.raises(DeviceTooSmall, match="into the GPUs' memory"), fitting("A pool", "Lower it."):
        raise RuntimeError("CUDA error: out of memory")
    with pytest.raises(RuntimeError, match="an illegal address"), fitting("A pool", "Lower it."):
        raise RuntimeError("CUDA error: an illegal address")


def test_the_engines_bench_is_refused_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        bench(["--device", "cuda"])
    assert "'cuda' cannot be used: torch sees no GPU" in capsys.readouterr().err
    full = torch.OutOfMemoryError("CUDA out of memory")
    monkeypatch.setattr("agent_runtime.engine.bench.subject.memory_of", lambda device: None)
    monkeypatch.setattr("agent_runtime.engine.bench.running._benched", raising(full))
    with pytest.raises(SystemExit):
        bench(["--device", "cpu", "--dtype", "float32", "--case", "nothing"])
    assert "What is computed with llama-3.1-8b does not fit" in capsys.readouterr().err
