"""What the kernels cannot do, known without Triton."""

import importlib.util

import torch

from agent_runtime.engine.gpu.tiling import LARGEST_HEAD
from agent_runtime.engine.kv_geometry import KVGeometry
from agent_runtime.engine.rope import RotaryTable

# Products of bfloat16, and copies to shared memory that nobody waits for, came with this.
_LEAST_CAPABILITY = (8, 0)
# Products of a warpgroup are Hopper's alone.
_SPECIALISES = (9, 0)
_DTYPES = (torch.bfloat16, torch.float16, torch.float32)


def not_of_this_model(geometry: KVGeometry, rope: RotaryTable) -> str | None:
    """Return why the kernels cannot serve a model, whatever the device; None if they can."""
    if rope.rotary_dim != geometry.head_dim:
        part = f"{rope.rotary_dim} of a head's {geometry.head_dim} dimensions are rotary"
        return f"{part}, and the kernels rotate all of them"
    if geometry.head_dim > LARGEST_HEAD:
        return f"heads have {geometry.head_dim} dimensions, and the kernels do up to {LARGEST_HEAD}"
    if geometry.dtype not in _DTYPES:
        return f"the kernels do not compute in {geometry.dtype}"
    return None


def specialises(device: torch.device) -> bool:
    """Whether the kernel whose warps are specialised can be compiled for a device: for an H100, H200 or GH200."""
    if device.type != "cuda" or torch.version.hip is not None:
        return False
    is_hopper = torch.cuda.get_device_capability(device) == _SPECIALISES
    return is_hopper and importlib.util.find_spec("triton.experimental.gluon") is not None


def not_on_this_machine(device: torch.device) -> tuple[str, str] | None:
    """Return why the kernels cannot run on a CUDA device and what to do about it; None if they can."""
    if torch.version.hip is not None:
        return "they are for NVIDIA's GPUs", "There is nothing to do."
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed", "Install it with: pip install triton"
    capability = torch.cuda.get_device_capability(device)
    if capability < _LEAST_CAPABILITY:
        major, minor = capability
        least = ".".join(map(str, _LEAST_CAPABILITY))
        what = f"{torch.cuda.get_device_name(device)} has compute capability {major}.{minor}"
        return what, f"Use a GPU of {least} or more (Ampere or newer)."
    return None
