"""The device a model is asked to be on: refused in a sentence where torch cannot use it, or where it is too small."""

import os
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from agent_runtime.engine.errors import DeviceTooSmall, NoCuda, first_line

_GIB = 2**30
_INSTALL = "Install a torch that is built for CUDA (pytorch.org, Get Started)"
_UPDATE = "Install or update NVIDIA's driver, or install a torch that is built for an older CUDA"
_LOOK = "Look whether CUDA_VISIBLE_DEVICES hides it, and what nvidia-smi says"
# What an NVIDIA driver leaves on Linux; elsewhere its tool is on PATH.
_DRIVER, _TOOL = "/dev/nvidiactl", "nvidia-smi"


def require_device(device: str | None, device_map: str | Mapping[str, Any] | None) -> None:
    """Refuse what names a CUDA device that torch cannot use. Raises NoCuda."""
    places = device_map.values() if isinstance(device_map, Mapping) else (device_map,)
    for named in (device, *places):
        if isinstance(named, int):
            named = f"cuda:{named}"
        if str(named).split(":")[0] != "cuda":
            continue
        if not torch.cuda.is_available():
            raise NoCuda(str(named), *_why_not())
        digits, count = str(named).partition(":")[2] or "0", torch.cuda.device_count()
        if not digits.isdecimal():
            raise NoCuda(str(named), "a device is called cuda, or cuda:0 and so on", "Name one of those")
        if int(digits) >= count:
            seen = "there is only cuda:0" if count == 1 else f"there are cuda:0 to cuda:{count - 1}"
            raise NoCuda(str(named), seen, "Name one of those")


def unused_gpu() -> NoCuda | None:
    """Return why torch cannot use the NVIDIA GPU that this machine has a driver for.

    None if it can, if there is no driver, and where GPUs are hidden on purpose (`CUDA_VISIBLE_DEVICES`).
    """
    has_driver = os.path.exists(_DRIVER) or shutil.which(_TOOL) is not None
    if not has_driver or "CUDA_VISIBLE_DEVICES" in os.environ or torch.version.hip is not None:
        return None
    with warnings.catch_warnings():  # it says in two lines what is said here in one
        warnings.simplefilter("ignore")
        return None if torch.cuda.is_available() else NoCuda("cuda", *_why_not())


def _why_not() -> tuple[str, str]:
    """Return why torch sees no CUDA device, and what to do."""
    if not torch.backends.cuda.is_built():
        return f"torch {torch.__version__} is built without CUDA", _INSTALL
    try:
        torch.cuda.init()
    except Exception as error:  # whatever the driver says
        why = first_line(error).partition(". ")[0]
        return why, _UPDATE if "driver" in why else _LOOK
    return "torch sees no GPU", _LOOK


@contextmanager
def fitting(what: str, advice: str) -> Iterator[None]:
    """Say of memory that is not enough, while this is open, what did not fit into it. Raises DeviceTooSmall."""
    try:
        yield
    except RuntimeError as error:  # torch's own is one; the driver's is nothing else
        if not isinstance(error, torch.OutOfMemoryError) and "out of memory" not in str(error):
            raise
        raise DeviceTooSmall(what, _memory(), advice) from error


def _memory() -> str:
    """Return in words what the GPUs have."""
    if not torch.cuda.is_available():
        return "the device's memory"
    sizes = [torch.cuda.mem_get_info(number) for number in range(torch.cuda.device_count())]
    told = ", ".join(f"{total / _GIB:.1f} GiB, {free / _GIB:.1f} of them free" for free, total in sizes)
    return f"the GPU's memory ({told})" if len(sizes) == 1 else f"the GPUs' memory ({told})"
