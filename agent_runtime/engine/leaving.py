"""Blocks on their way out of a pool into memory of the host, while the device goes on.

Whoever evicts blocks gives their slots to others at once. So what stands there is first gathered into a buffer on the
device, on the current stream: behind the forward that may still write it, before the next that writes over it. From
there it is copied to the host on a stream of its own, beside whatever comes. The host waits for nothing; blocks can be
read behind the event that is returned.

Shapes: L layers, t tokens of a block, T of a batch, N slots, G key/value heads, D head dimension, n numbers.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy
import torch

from agent_runtime.engine.copies import there
from agent_runtime.engine.staging import batched

# What a buffer holds, of which there are two as long as blocks go, and a third for what is gathered.
_BUFFER_BYTES = 64 * 2**20

# Slots int64 [t], and the host's memory for a block, [2, L, t, G, D] in a row and cut into pieces [n] wherever.
Going = tuple[numpy.ndarray, Sequence[torch.Tensor]]


class Leaving:
    """The way from layers `keys` and `values`, [N, G, D] each. Where they lie on several devices, the host waits."""

    def __init__(
        self, keys: Sequence[torch.Tensor], values: Sequence[torch.Tensor], buffer_bytes: int = _BUFFER_BYTES
    ) -> None:
        self._layers = (*keys, *values)
        devices = {layer.device for layer in self._layers}
        self._device = devices.pop() if len(devices) == 1 else torch.device("cpu")
        self._numbers_each = len(self._layers) * keys[0].shape[1:].numel()
        self._buffer_size = buffer_bytes // keys[0].dtype.itemsize
        self._beside = torch.cuda.Stream(self._device) if self._device.type == "cuda" else None

    def save(self, blocks: Sequence[Going]) -> torch.cuda.Event | None:
        """Copy what stands in slots now to the host; what is given to the device later may write there.

        Raises torch.OutOfMemoryError where the device has no room for the buffers.
        """
        blocks = [(slots, pieces) for slots, pieces in blocks if len(slots)]
        sizes = [len(slots) * self._numbers_each for slots, _ in blocks]
        batches = batched(blocks, sizes, max(self._buffer_size, max(sizes, default=0)))
        if not batches:
            return None
        most = max(sum(len(slots) for slots, _ in batch) for batch in batches) * self._numbers_each
        like = self._layers[0]
        buffers = [torch.empty(most, dtype=like.dtype, device=self._device) for _ in batches[:2]]
        free: list[torch.cuda.Event | None] = [None for _ in buffers]
        try:
            for number, batch in enumerate(batches):
                at = number % len(buffers)
                self._wait(free[at])
                parts = self._gathered(batch, buffers[at])
                with self._behind():
                    for part, (_, pieces) in zip(parts, batch, strict=True):
                        _copy(part, pieces)
                    free[at] = self._mark()
        except BaseException:
            if self._beside is not None:
                self._beside.synchronize()  # nothing is written to the host any more
            raise
        if self._beside is not None:
            for buffer in buffers:
                buffer.record_stream(self._beside)
        return free[(len(batches) - 1) % len(buffers)]

    def _gathered(self, batch: Sequence[Going], buffer: torch.Tensor) -> list[torch.Tensor]:
        """Gather blocks one behind the other into a buffer, and return each as it lies there, [n]."""
        slots_T = numpy.concatenate([slots for slots, _ in batch])
        at = {device: there(slots_T, device) for device in {layer.device for layer in self._layers}}
        like = self._layers[0]
        shape = (len(self._layers), len(slots_T), *like.shape[1:])
        gathered = torch.empty(shape, dtype=like.dtype, device=self._device)
        for own, layer in zip(gathered, self._layers, strict=True):
            own.copy_(layer.index_select(0, at[layer.device]))
        parts, token, end = [], 0, 0
        for slots, _ in batch:
            block = gathered[:, token : token + len(slots)]
            parts.append(buffer[end : end + block.numel()])
            parts[-1].view(block.shape).copy_(block)
            token, end = token + len(slots), end + block.numel()
        return parts

    def _behind(self) -> AbstractContextManager[Any]:
        """Have what follows run beside the current stream, behind what it was given so far; a CPU has but one."""
        if self._beside is None:
            return nullcontext()
        self._beside.wait_stream(torch.cuda.current_stream(self._device))
        return torch.cuda.stream(self._beside)

    def _mark(self) -> torch.cuda.Event | None:
        return None if self._beside is None else self._beside.record_event()

    def _wait(self, event: torch.cuda.Event | None) -> None:
        """Have the current stream wait: a buffer is filled again when what was in it has left."""
        if self._beside is not None and event is not None:
            torch.cuda.current_stream(self._device).wait_event(event)


def _copy(source: torch.Tensor, pieces: Sequence[torch.Tensor]) -> None:
    end = 0
    for piece in pieces:
        piece.copy_(source[end : end + piece.numel()], non_blocking=True)
        end += piece.numel()
    assert end == source.numel(), "a block has as much room as it takes"
