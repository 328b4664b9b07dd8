"""How blocks that lie on a device in a row get to their slots: by our kernel on an NVIDIA GPU, else by plain torch.

The kernel is one call for all layers of many blocks; plain torch is some calls a layer, which a GPU waits for. Where
the kernel fails or writes something else than plain torch, blocks are scattered by plain torch, and the log says why.

Shapes: L layers, t tokens of a block, T of all blocks, N slots, G key/value heads, D head dimension.
"""

import logging
from collections.abc import Sequence
from typing import Protocol

import numpy
import torch

from agent_runtime.engine.copies import there
from agent_runtime.engine.errors import first_line
from agent_runtime.engine.gpu.support import not_on_this_machine

_log = logging.getLogger(__name__)

_REPORT = "Please report this with the GPU's name and the versions of torch and Triton."


class Scatter(Protocol):
    """Blocks whose slots are known on the device."""

    def write(self, first: int, stop: int) -> None:
        """Write blocks `first` to `stop` of those that were planned to their slots, on the current stream."""


class Scattering(Protocol):
    """A way into the slots of all layers."""

    def plan(self, slots: Sequence[numpy.ndarray], parts: Sequence[torch.Tensor]) -> Scatter:
        """Return what scatters blocks: the slots of each, int64 or int32 [t], and [2, L, t, G, D] in a row.

        Slots are copied to the device on the current stream; numbers need not be there before they are written.
        """


class TorchScattering:
    """Plain torch's way into layers `keys` and `values`, [N, G, D] each, all of one device."""

    def __init__(self, keys: Sequence[torch.Tensor], values: Sequence[torch.Tensor]) -> None:
        self.keys, self.values = keys, values

    def plan(self, slots: Sequence[numpy.ndarray], parts: Sequence[torch.Tensor]) -> "TorchScatter":
        """Return what scatters blocks."""
        lengths = [len(own) for own in slots]
        slots_T = there(numpy.concatenate(slots, dtype=numpy.int64), self.keys[0].device)
        shape = self.keys[0].shape[1:]
        blocks = [part.view(2 * len(self.keys), n, *shape) for part, n in zip(parts, lengths, strict=True)]
        return TorchScatter(self, slots_T.split(lengths), blocks)


class TorchScatter:
    """Blocks, keys and then values of every layer [2 L, t, G, D], whose slots [t] are on the device."""

    def __init__(self, way: TorchScattering, slots: Sequence[torch.Tensor], blocks: Sequence[torch.Tensor]) -> None:
        self._way, self._slots, self._blocks = way, slots, blocks

    def write(self, first: int, stop: int) -> None:
        """Write blocks to their slots, two calls for keys or values of a layer."""
        slots, blocks = joined(self._slots[first:stop]), [block.unbind() for block in self._blocks[first:stop]]
        for layer, *parts in zip((*self._way.keys, *self._way.values), *blocks, strict=True):
            layer.index_copy_(0, slots, joined(parts))


def chosen_scattering(keys: Sequence[torch.Tensor], values: Sequence[torch.Tensor]) -> Scattering:
    """Return the best way into layers [N, G, D] of one device; on CUDA, the log says why if it is not the kernel."""
    if keys[0].device.type != "cuda":
        return TorchScattering(keys, values)
    trouble = not_on_this_machine(keys[0].device)
    if trouble is None:
        found = proved_kernel(keys, values)
        if not isinstance(found, str):
            return found
        trouble = found, _REPORT
    text = "stored blocks are scattered by plain torch, not by our kernel: %s. Loading them takes longer. %s"
    _log.warning(text, *trouble)
    return TorchScattering(keys, values)


def proved_kernel(keys: Sequence[torch.Tensor], values: Sequence[torch.Tensor]) -> Scattering | str:
    """Return the kernel's way, compiled, if it writes to layers like these what plain torch does; else why not.

    The layers themselves are not touched.
    """
    try:
        from agent_runtime.engine.gpu.scattering import KernelScattering  # needs Triton

        layers = [torch.zeros((12, *keys[0].shape[1:]), dtype=keys[0].dtype, device=keys[0].device) for _ in range(8)]
        slots = [numpy.array(each) for each in ([7, 1, 8], [2, 11], [5])]
        sizes = [2 * 2 * len(own) * layers[0][0].nbytes for own in slots]
        drawn = torch.randint(256, (sum(sizes),), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        numbers = drawn.to(keys[0].device).view(keys[0].dtype)
        parts = numbers.split([size // numbers.itemsize for size in sizes])
        TorchScattering(layers[:2], layers[2:4]).plan(slots, parts).write(1, 3)
        KernelScattering(layers[4:6], layers[6:]).plan(slots, parts).write(1, 3)
        # Bit by bit: some of these numbers are none, which equal nothing.
        alike = [
            torch.equal(*(each.view(torch.uint8) for each in pair)) for pair in zip(layers[:4], layers[4:], strict=True)
        ]
        return KernelScattering(keys, values) if all(alike) else "it writes something else than plain torch"
    except Exception as error:
        return f"{type(error).__name__}: {first_line(error)}"


def joined(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return tensors one behind the other, the same memory if there is but one."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))
