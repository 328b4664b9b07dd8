"""What is timed: a geometry with random weights, or a model that was loaded; refused before anything large is made."""

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.initialization import no_init_weights

from agent_runtime.engine.bench.errors import BadOption, NotByKernels, TooLarge, TooLong
from agent_runtime.engine.bench.geometry import kv_geometry, random_model
from agent_runtime.engine.containers import memory_limits
from agent_runtime.engine.cpu_products import choose_products
from agent_runtime.engine.devices import require_device
from agent_runtime.engine.gpu.support import not_of_this_model, not_on_this_machine
from agent_runtime.engine.rope import RotaryTable


@dataclass(frozen=True, slots=True)
class Subject:
    """A model by its configuration, and where it computes. Without `model` its weights are random."""

    name: str
    config: PreTrainedConfig
    device: torch.device
    dtype: torch.dtype
    model: PreTrainedModel | None = None

    @property
    def weights(self) -> str:
        """Return what its weights are: random or loaded."""
        return "random" if self.model is None else "loaded"

    @property
    def bytes_per_token(self) -> int:
        """Return the bytes of one token's keys and values."""
        return kv_geometry(self.config, self.device, self.dtype).bytes_per_token

    def require_memory(self, num_slots: int) -> None:
        """Raise TooLarge if weights and keys and values of so many tokens are more than the device can hold."""
        weights = 0 if self.model is not None else _weight_bytes(self.config, self.dtype)
        kept, has = num_slots * self.bytes_per_token, memory_of(self.device)
        if has is not None and weights + kept > has:
            raise TooLarge(self.name, str(self.device), weights, kept, has)

    def require_positions(self, needed: int) -> None:
        """Raise TooLong if a prompt of so many positions does not fit the model's context."""
        context = int(self.config.get_text_config().max_position_embeddings)
        if needed > context:
            raise TooLong(self.name, needed, context)

    def require_kernels(self) -> None:
        """Raise NotByKernels if our kernels cannot serve this model on its device."""
        if self.device.type == "cuda" and (trouble := not_on_this_machine(self.device)) is not None:
            raise NotByKernels(self.name, trouble[0])
        if self.device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
            raise NotByKernels(self.name, "they are for NVIDIA's GPUs, and this is to run on the CPU")
        sizes = self.config.get_text_config()
        geometry = kv_geometry(sizes, torch.device("cpu"), self.dtype)
        rotary_dim = int(geometry.head_dim * _rotary_share(sizes))
        if (why := not_of_this_model(geometry, RotaryTable(torch.ones(rotary_dim // 2), 1))) is not None:
            raise NotByKernels(self.name, why)

    def made(self) -> PreTrainedModel:
        """Return the model; random weights are drawn now, and equal for equal configurations."""
        if self.model is not None:
            return self.model
        model = random_model(self.config, self.device, self.dtype)
        choose_products(model)
        return model


def device_of(name: str | None) -> torch.device:
    """Return a device by its name, with its number; None is the GPU if there is one. Raises BadOption and NoCuda."""
    has_cuda = torch.cuda.is_available()
    try:
        device = torch.device(name or ("cuda" if has_cuda else "cpu"))
    except RuntimeError as error:
        raise BadOption("--device", f"there is no device {name!r}: name cpu or cuda") from error
    if device.type not in ("cpu", "cuda"):
        raise BadOption("--device", f"nothing is measured on {name!r}: name cpu or cuda")
    require_device(str(device), None)
    return torch.empty(0, device=device).device


def dtype_of(name: str | None, device: torch.device) -> torch.dtype:
    """Return a dtype by its name; None is float32 on a CPU and bfloat16 on a GPU. Raises BadOption."""
    if name is None:
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    dtypes = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if name not in dtypes:
        raise BadOption("--dtype", f"nothing is measured in {name!r}: name {', '.join(dtypes)}")
    return dtypes[name]


def memory_of(device: torch.device, root: Path = Path("/")) -> int | None:
    """Return the bytes that are free on a GPU, or that a machine, or its container if that is less, has in all.

    None where the system does not say.
    """
    if device.type == "cuda":
        free: int = torch.cuda.mem_get_info(device)[0]
        return free
    try:
        machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has none
        return None
    return min([machine, *(each.limit_bytes for each in memory_limits(root))])


def _weight_bytes(config: PreTrainedConfig, dtype: torch.dtype) -> int:
    with torch.device("meta"), no_init_weights():
        model = AutoModelForCausalLM.from_config(config)
    count: int = sum(each.numel() for each in model.parameters())
    return count * dtype.itemsize


def _rotary_share(sizes: PreTrainedConfig) -> float:
    parameters = getattr(sizes, "rope_parameters", None) or {}
    return float(parameters.get("partial_rotary_factor") or getattr(sizes, "partial_rotary_factor", None) or 1.0)
