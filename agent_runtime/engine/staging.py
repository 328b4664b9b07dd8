"""Stored blocks on their way to their slots on a GPU: many in one go, and while it computes.

A block is copied from the host in two pieces, keys and values of all its layers; pieces gather in a buffer on the
device, and from there each layer is scattered to its slots by one call. Copies run on a stream of their own, beside
what the device is doing; slots are written on the current stream, behind what was given to the device before, which may
still read what was there, and before whatever is given to it later, which finds the blocks.

Shapes: L layers, t tokens of a block, N slots, G key/value heads, D head dimension.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy
import torch

from agent_runtime.engine.copies import there

# Slots int64 [t], and a block's keys and values, [L, t, G, D] each.
Stored = tuple[numpy.ndarray, torch.Tensor, torch.Tensor]

# What a buffer holds, of which there are two as long as blocks come. A block that is larger has a larger one.
_BUFFER_BYTES = 128 * 2**20


class Staging:
    """The way to one device, whose layers are `keys` and `values`, [N, G, D] each."""

    def __init__(
        self, keys: Sequence[torch.Tensor], values: Sequence[torch.Tensor], buffer_bytes: int = _BUFFER_BYTES
    ) -> None:
        self._keys, self._values = keys, values
        self._device, self._dtype = keys[0].device, keys[0].dtype
        self._buffer_size = buffer_bytes // self._dtype.itemsize
        self._beside = torch.cuda.Stream(self._device) if self._device.type == "cuda" else None

    def write(self, blocks: Sequence[Stored]) -> None:
        """Copy blocks that lie on the host to their slots, of which no two are the same.

        Pinned tensors are read behind this call: nobody may change them before the device is done.
        """
        largest = max((k.numel() + v.numel() for _, k, v in blocks), default=0)
        batches = _batches(blocks, max(self._buffer_size, largest))
        if not batches:
            return
        with self._on_the_way():
            sizes = [sum(k.numel() + v.numel() for _, k, v in batch) for batch in batches]
            buffers = [torch.empty(max(sizes), dtype=self._dtype, device=self._device) for _ in batches[:2]]
        free: list[torch.cuda.Event | None] = [None for _ in buffers]
        for number, batch in enumerate(batches):
            at = number % len(buffers)
            with self._on_the_way():
                self._wait(free[at])
                parts = _copied(batch, buffers[at])
            self._arrive()
            self._scatter(batch, parts)
            free[at] = self._mark()
        # Buffers belong to the stream of the copies: the next that takes this memory waits for the last scatter.
        with self._on_the_way():
            for event in free:
                self._wait(event)

    def _scatter(self, batch: Sequence[Stored], parts: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> None:
        slots = there(numpy.concatenate([each for each, _, _ in batch]), self._device)
        for layer, (keys, values) in enumerate(zip(self._keys, self._values, strict=True)):
            keys.index_copy_(0, slots, _joined([k[layer] for k, _ in parts]))
            values.index_copy_(0, slots, _joined([v[layer] for _, v in parts]))

    def _on_the_way(self) -> AbstractContextManager[Any]:
        """Have what follows run beside the current stream; a CPU has but one."""
        return nullcontext() if self._beside is None else torch.cuda.stream(self._beside)

    def _arrive(self) -> None:
        """Have the current stream wait for all copies so far."""
        if self._beside is not None:
            torch.cuda.current_stream(self._device).wait_stream(self._beside)

    def _mark(self) -> torch.cuda.Event | None:
        """Return what marks the current stream's end."""
        return None if self._beside is None else torch.cuda.current_stream(self._device).record_event()

    def _wait(self, event: torch.cuda.Event | None) -> None:
        if self._beside is not None and event is not None:
            self._beside.wait_event(event)


def write_by_layer(
    keys: Sequence[torch.Tensor], values: Sequence[torch.Tensor], slots: numpy.ndarray, k: torch.Tensor, v: torch.Tensor
) -> None:
    """Copy one block to its slots, layer by layer: layers may lie on several devices, or on a CPU."""
    at = {device: there(slots, device) for device in {layer.device for layer in keys}}
    for number, (keys_NGD, values_NGD) in enumerate(zip(keys, values, strict=True)):
        own = at[keys_NGD.device]
        keys_NGD[own] = k[number].to(keys_NGD.device, keys_NGD.dtype)
        values_NGD[own] = v[number].to(values_NGD.device, values_NGD.dtype)


def _batches(blocks: Sequence[Stored], most: int) -> list[list[Stored]]:
    """Cut blocks into batches of at most `most` numbers."""
    batches: list[list[Stored]] = []
    size = 0
    for block in blocks:
        own = block[1].numel() + block[2].numel()
        if not own:
            continue
        if not batches or size + own > most:
            batches.append([])
            size = 0
        batches[-1].append(block)
        size += own
    return batches


def _copied(batch: Sequence[Stored], buffer: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Copy blocks one behind the other into a buffer, and return keys and values as they lie there."""
    parts, end = [], 0
    for _, k, v in batch:
        both = []
        for tensor in (k, v):
            begin, end = end, end + tensor.numel()
            both.append(buffer[begin:end].view(tensor.shape).copy_(tensor, non_blocking=True))
        parts.append((both[0], both[1]))
    return parts


def _joined(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))
