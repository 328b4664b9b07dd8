"""Blocks get to their slots by the kernel, here interpreted, as by plain torch; and where it fails, by plain torch."""

import logging
import sys

import pytest
import torch

from agent_runtime.engine import scattering
from agent_runtime.engine.gpu import scattering as gpu
from agent_runtime.engine.gpu.scattering import KernelScattering
from agent_runtime.engine.scattering import TorchScattering, chosen_scattering, proved_kernel
from tests.agent_runtime.engine.gpu.layers import DEVICE

LAYERS = [torch.zeros(20, 2, 6, device=DEVICE) for _ in range(4)]


def test_a_cpu_has_plain_torch_and_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    layers = [torch.zeros(20, 2, 6) for _ in range(2)]
    assert isinstance(chosen_scattering(layers[:1], layers[1:]), TorchScattering) and not caplog.messages


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_a_kernel_that_writes_what_torch_does_proves_itself_and_touches_no_layer(dtype: torch.dtype) -> None:
    layers = [torch.full((20, 2, 6), 3, dtype=dtype, device=DEVICE) for _ in range(4)]
    assert isinstance(proved_kernel(layers[:2], layers[2:]), KernelScattering)
    assert all(bool((layer == 3).all()) for layer in layers)


def test_a_kernel_that_writes_something_else_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    launch = KernelScattering.launch
    monkeypatch.setattr(KernelScattering, "launch", lambda self, tokens, first, stop: launch(self, tokens, 0, stop))
    assert proved_kernel(LAYERS[:2], LAYERS[2:]) == "it writes something else than plain torch"


def test_what_a_compiler_says_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*arguments: object) -> None:
        raise RuntimeError("Failed to find C compiler.\nPlease specify one.")

    monkeypatch.setattr(gpu.KernelScattering, "launch", failing)
    assert proved_kernel(LAYERS[:2], LAYERS[2:]) == "RuntimeError: Failed to find C compiler"


class _Gpu:
    """Of a layer, all that is asked before anything is computed."""

    device = torch.device("cuda:0")


def test_where_the_kernel_cannot_run_plain_torch_does_and_the_log_says_why(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, scattering.__name__)
    layers: list[torch.Tensor] = [_Gpu()]  # type: ignore[list-item]
    advice = "Triton is not installed", "Install it with: pip install triton"
    monkeypatch.setattr(scattering, "not_on_this_machine", lambda device: advice)
    assert isinstance(chosen_scattering(layers, layers), TorchScattering)
    monkeypatch.setattr(scattering, "not_on_this_machine", lambda device: None)
    monkeypatch.setattr(scattering, "proved_kernel", lambda keys, values: "it is broken")
    assert isinstance(chosen_scattering(layers, layers), TorchScattering)
    assert [any(word in said for word in advice) for said in caplog.messages] == [True, False]
    assert "our kernel: it is broken. " in caplog.messages[1]


def test_staging_needs_no_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "agent_runtime.engine.gpu.scattering", None)
    told = proved_kernel(LAYERS[:2], LAYERS[2:])
    assert isinstance(told, str) and told.startswith("ModuleNotFoundError")
