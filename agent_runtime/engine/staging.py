"""Stored blocks on their way to their slots on a GPU: many in one go, and while it computes.

A block is copied from the host in the pieces it lies in there (keys and values of all its layers are one or two, or
what a host's memory had room for); pieces gather in a buffer on the device, and from there each layer is scattered to
its slots by one call. Copies run on a stream of their own, beside what the device is doing; slots are written on the
current stream, behind what was given to the device before, which may still read what was there, and before whatever is
given to it later, which finds the blocks.

Blocks may also be `sent` before anyone knows their slots: while the forward before theirs still runs, on any thread.

Why not layer by layer, behind the layers of the very forward that sees the blocks? A forward is one CUDA graph, which
would have to wait for an event a layer. Of an 8B model on an H100 (128 KiB a token, 55 GB/s over the link, a forward of
8 to 10 ms) that could hide two changed blocks of 85 tokens, 22 MB or 0.4 ms, and of 300 blocks, 3.3 GB or 61 ms, no
more than the forward's own 10. The forward that runs before hides as much of either and costs the graph nothing, and
what is opened for a session comes behind turns anyway.

Shapes: L layers, t tokens of a block, N slots, G key/value heads, D head dimension, n numbers.
"""

import itertools
import threading
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar
from weakref import WeakSet

import numpy
import torch

from agent_runtime.engine.copies import there

# What a buffer holds, of which there are two as long as blocks come. A block that is larger has a larger one.
_BUFFER_BYTES = 128 * 2**20
# What may be on the device of blocks that were sent and are not in their slots yet.
_SENT_BYTES = 256 * 2**20

T = TypeVar("T")


@dataclass(eq=False)
class Sent:
    """A buffer of blocks that are on the device and not in the pool. It is free again when nobody holds this."""

    buffer: torch.Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """A block's keys and values of all layers, [2, L, t, G, D] in a row, cut into pieces [n] wherever.

    They lie on the host, or were `sent`; either way they can be read behind `after`, a device's event.
    """

    pieces: Sequence[torch.Tensor]
    after: torch.cuda.Event | None = None
    sent: Sent | None = None

    @property
    def size(self) -> int:
        """Return how many numbers there are."""
        return sum(piece.numel() for piece in self.pieces)


def stored_of(k: torch.Tensor, v: torch.Tensor) -> Stored:
    """Return keys and values, [L, t, G, D] each on the host, as a stored block."""
    return Stored((k.reshape(-1), v.reshape(-1)))


class Staging:
    """The way to one device, whose layers are `keys` and `values`, [N, G, D] each."""

    def __init__(
        self, keys: Sequence[torch.Tensor], values: Sequence[torch.Tensor], buffer_bytes: int = _BUFFER_BYTES
    ) -> None:
        self._keys, self._values = keys, values
        self._device, self._dtype = keys[0].device, keys[0].dtype
        self._buffer_size = buffer_bytes // self._dtype.itemsize
        # What is sent ahead has a stream of its own: a turn's blocks do not wait behind those of turns to come.
        is_cuda = self._device.type == "cuda"
        self._beside, self._ahead = (torch.cuda.Stream(self._device) if is_cuda else None for _ in range(2))
        self._sent: WeakSet[Sent] = WeakSet()
        self._sending = threading.Lock()

    def write(self, blocks: Sequence[tuple[numpy.ndarray, Stored]]) -> torch.cuda.Event | None:
        """Copy blocks to their slots (int64 [t]), of which no two are the same.

        Pinned memory is read behind this call: nobody may change it before the event that is returned.
        """
        blocks = [(slots, stored) for slots, stored in blocks if stored.size]
        sizes = [0 if stored.sent else stored.size for _, stored in blocks]
        batches = batched(blocks, sizes, max(self._buffer_size, max(sizes, default=0)))
        if not batches:
            return None
        with self._on_the_way():
            needed = [sum(stored.size for _, stored in batch if not stored.sent) for batch in batches]
            buffers = [torch.empty(max(needed), dtype=self._dtype, device=self._device) for _ in batches[:2]]
        try:
            return self._written(batches, buffers)
        except BaseException:
            if self._beside is not None:
                self._beside.synchronize()  # nothing of the host's memory is read any more
            raise

    def _written(
        self, batches: Sequence[Sequence[tuple[numpy.ndarray, Stored]]], buffers: Sequence[torch.Tensor]
    ) -> torch.cuda.Event | None:
        free: list[torch.cuda.Event | None] = [None for _ in buffers]
        read = None
        for number, batch in enumerate(batches):
            at = number % len(buffers)
            with self._on_the_way():
                self._wait(free[at])
                fresh = [stored for _, stored in batch if not stored.sent]
                parts = iter(_copied(fresh, buffers[at], self._beside))
                read = _end_of(self._beside)
            if fresh:
                self._arrive()
            self._scatter(batch, [self._landed(stored) if stored.sent else next(parts) for _, stored in batch])
            free[at] = self._mark()
        # Buffers belong to the stream of the copies: the next that takes this memory waits for the last scatter.
        with self._on_the_way():
            for event in free:
                self._wait(event)
        return read

    def send(self, blocks: Sequence[Stored]) -> list[Stored]:
        """Begin to copy blocks to the device, the first of them for which there is room there; any thread.

        Pinned memory is read behind this call: nobody may change it before the `after` of what is returned.
        """
        with self._sending:
            used = sum(sent.buffer.nbytes for sent in list(self._sent))
            room = (_SENT_BYTES - used) // self._dtype.itemsize
            ends = list(itertools.accumulate(stored.size for stored in blocks))
            blocks = blocks[: bisect_right(ends, room)]
            size = sum(stored.size for stored in blocks)
            if not size:
                return []
            with nullcontext() if self._ahead is None else torch.cuda.stream(self._ahead):
                try:
                    sent = Sent(torch.empty(size, dtype=self._dtype, device=self._device))
                except torch.OutOfMemoryError:
                    return []
                parts = _copied(blocks, sent.buffer, self._ahead)
                after = _end_of(self._ahead)
            self._sent.add(sent)
        return [Stored((part,), after, sent) for part in parts]

    def _landed(self, stored: Stored) -> torch.Tensor:
        """Return what was sent, for the current stream to read; the buffer is not free before it has."""
        [part] = stored.pieces
        if self._beside is not None and stored.sent is not None:
            current = torch.cuda.current_stream(self._device)
            if stored.after is not None:
                current.wait_event(stored.after)
            stored.sent.buffer.record_stream(current)
        return part

    def _scatter(self, batch: Sequence[tuple[numpy.ndarray, Stored]], parts: Sequence[torch.Tensor]) -> None:
        slots = there(numpy.concatenate([each for each, _ in batch]), self._device)
        blocks = [
            part.view(2, len(self._keys), len(own), *self._keys[0].shape[1:])
            for part, (own, _) in zip(parts, batch, strict=True)
        ]
        for layer, (keys, values) in enumerate(zip(self._keys, self._values, strict=True)):
            keys.index_copy_(0, slots, _joined([block[0, layer] for block in blocks]))
            values.index_copy_(0, slots, _joined([block[1, layer] for block in blocks]))

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


def _copied(blocks: Sequence[Stored], buffer: torch.Tensor, stream: torch.cuda.Stream | None) -> list[torch.Tensor]:
    """Copy blocks one behind the other into a buffer, on a current `stream`; return each as it lies there, [n]."""
    parts, end = [], 0
    for stored in blocks:
        if stream is not None and stored.after is not None:
            stream.wait_event(stored.after)
        begin = end
        for piece in stored.pieces:
            buffer[end : end + piece.numel()].copy_(piece, non_blocking=True)
            end += piece.numel()
        parts.append(buffer[begin:end])
    return parts


def _end_of(stream: torch.cuda.Stream | None) -> torch.cuda.Event | None:
    """Return what marks the end of all that a stream was given so far."""
    return None if stream is None else stream.record_event()


def write_by_layer(
    keys: Sequence[torch.Tensor], values: Sequence[torch.Tensor], slots: numpy.ndarray, k: torch.Tensor, v: torch.Tensor
) -> None:
    """Copy one block to its slots, layer by layer: layers may lie on several devices, or on a CPU."""
    at = {device: there(slots, device) for device in {layer.device for layer in keys}}
    for number, (keys_NGD, values_NGD) in enumerate(zip(keys, values, strict=True)):
        own = at[keys_NGD.device]
        keys_NGD[own] = k[number].to(keys_NGD.device, keys_NGD.dtype)
        values_NGD[own] = v[number].to(values_NGD.device, values_NGD.dtype)


def halves(stored: Stored, shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return keys and values of a stored block, [L, t, G, D] each; copied only where its pieces are cut elsewhere."""
    if len(stored.pieces) == 2 and stored.pieces[0].numel() == stored.pieces[1].numel():
        k, v = stored.pieces
    else:
        k, v = _joined(stored.pieces).view(2, -1).unbind()
    return k.view(shape), v.view(shape)


def batched(items: Sequence[T], sizes: Sequence[int], most: int) -> list[list[T]]:
    """Cut items into batches of at most `most` together, or one."""
    batches: list[list[T]] = []
    size = 0
    for item, own in zip(items, sizes, strict=True):
        if not batches or size + own > most:
            batches.append([])
            size = 0
        batches[-1].append(item)
        size += own
    return batches


def _joined(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))
