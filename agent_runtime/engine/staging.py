"""Stored blocks on their way to their slots on a GPU: many in one go, and while it computes.

A block is copied from the host in the pieces it lies in there (keys and values of all its layers are one or two, or
what a host's memory had room for); pieces gather in a buffer on the device, and from there all layers are scattered to
their slots at once (`scattering.py`), while the next buffer is filled. Copies run on a stream of their own, beside what
the device is doing; slots are written on the current stream, behind what was given to the device before, which may
still read what was there, and before whatever is given to it later, which finds the blocks.

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
from agent_runtime.engine.scattering import Scattering, chosen_scattering, joined

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
    """The way to one device, whose layers are `keys` and `values`, [N, G, D] each; `scattering` None is chosen."""

    def __init__(
        self,
        keys: Sequence[torch.Tensor],
        values: Sequence[torch.Tensor],
        buffer_bytes: int = _BUFFER_BYTES,
        *,
        scattering: Scattering | None = None,
    ) -> None:
        self._scattering = chosen_scattering(keys, values) if scattering is None else scattering
        self._device, self._dtype = keys[0].device, keys[0].dtype
        self._numbers_each = 2 * len(keys) * keys[0].shape[1:].numel()
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
        blocks = [each for each in blocks if len(each[0])]
        sizes = [0 if stored.sent else len(slots) * self._numbers_each for slots, stored in blocks]
        batches = batched(range(len(blocks)), sizes, max(self._buffer_size, max(sizes, default=0)))
        if not batches:
            return None
        needed = [sizes[batch[0] : batch[-1] + 1] for batch in batches]
        with self._on_the_way():
            most = max(map(sum, needed))
            buffers = [torch.empty(most, dtype=self._dtype, device=self._device) for _ in batches[:2]]
        lies = [part for number, own in enumerate(needed) for part in buffers[number % 2][: sum(own)].split(own)]
        parts = [stored.pieces[0] if stored.sent else part for (_, stored), part in zip(blocks, lies, strict=True)]
        try:
            return self._written(blocks, parts, batches)
        except BaseException:
            if self._beside is not None:
                self._beside.synchronize()  # nothing of the host's memory is read any more
            raise

    def _written(
        self,
        blocks: Sequence[tuple[numpy.ndarray, Stored]],
        parts: Sequence[torch.Tensor],
        batches: Sequence[Sequence[int]],
    ) -> torch.cuda.Event | None:
        """Copy each batch to its parts of the device's memory, two buffers in turn, and scatter it from there."""
        stored = [each for _, each in blocks]
        arrived: list[torch.cuda.Event | None] = []
        done: list[torch.cuda.Event | None] = []
        # A batch is scattered when the next is on its way: copies do not wait for the host to be done with scattering.
        for coming in range(len(batches) + 1):
            if coming < len(batches):
                fresh = [number for number in batches[coming] if not stored[number].sent]
                with self._on_the_way():
                    if coming > 1:
                        self._wait(done[coming - 2])  # the same buffer's
                    _copy([stored[number] for number in fresh], [parts[number] for number in fresh], self._beside)
                    if coming == 0:
                        scatter = self._scattering.plan([slots for slots, _ in blocks], parts)
                    arrived.append(self._sent_off())
            if coming > 0:
                first, stop = batches[coming - 1][0], batches[coming - 1][-1] + 1
                self._arrive(arrived[coming - 1])
                self._land(stored[first:stop])
                scatter.write(first, stop)
                done.append(self._mark())
        # Buffers belong to the stream of the copies: the next that takes this memory waits for the last scatter.
        with self._on_the_way():
            self._wait(done[-1])
        return arrived[-1]

    def send(self, blocks: Sequence[Stored]) -> list[Stored]:
        """Begin to copy blocks to the device, the first of them for which there is room there; any thread.

        Pinned memory is read behind this call: nobody may change it before the `after` of what is returned.
        """
        with self._sending:
            used = sum(sent.buffer.nbytes for sent in list(self._sent))
            room = (_SENT_BYTES - used) // self._dtype.itemsize
            sizes = [stored.size for stored in blocks]
            sizes = sizes[: bisect_right(list(itertools.accumulate(sizes)), room)]
            blocks = blocks[: len(sizes)]
            if not any(sizes):
                return []
            with nullcontext() if self._ahead is None else torch.cuda.stream(self._ahead):
                try:
                    sent = Sent(torch.empty(sum(sizes), dtype=self._dtype, device=self._device))
                except torch.OutOfMemoryError:
                    return []
                parts = sent.buffer.split(sizes)
                _copy(blocks, parts, self._ahead)
                after = _end_of(self._ahead)
            self._sent.add(sent)
        return [Stored((part,), after, sent) for part in parts]

    def _land(self, blocks: Sequence[Stored]) -> None:
        """Have the current stream wait for what was sent of blocks; buffers are not free before it has read them."""
        if self._beside is None:
            return
        current = torch.cuda.current_stream(self._device)
        landed = {stored.sent: stored for stored in blocks if stored.sent is not None}
        _wait_for(list(landed.values()), current)
        for sent in landed:
            sent.buffer.record_stream(current)

    def _on_the_way(self) -> AbstractContextManager[Any]:
        """Have what follows run beside the current stream; a CPU has but one."""
        return nullcontext() if self._beside is None else torch.cuda.stream(self._beside)

    def _sent_off(self) -> torch.cuda.Event | None:
        """Return what marks the end of all copies so far."""
        return _end_of(self._beside)

    def _arrive(self, event: torch.cuda.Event | None) -> None:
        """Have the current stream wait for copies up to an event."""
        if self._beside is not None and event is not None:
            torch.cuda.current_stream(self._device).wait_event(event)

    def _mark(self) -> torch.cuda.Event | None:
        """Return what marks the current stream's end."""
        return None if self._beside is None else torch.cuda.current_stream(self._device).record_event()

    def _wait(self, event: torch.cuda.Event | None) -> None:
        if self._beside is not None and event is not None:
            self._beside.wait_event(event)


def _copy(blocks: Sequence[Stored], parts: Sequence[torch.Tensor], stream: torch.cuda.Stream | None) -> None:
    """Copy blocks to parts of the device's memory, [n] each and of the same size, on a current `stream`."""
    _wait_for(blocks, stream)
    for stored, part in zip(blocks, parts, strict=True):
        own = part.split([piece.numel() for piece in stored.pieces])  # raises where they are not of one size
        for piece, to in zip(stored.pieces, own, strict=True):
            to.copy_(piece, non_blocking=True)


def _wait_for(blocks: Sequence[Stored], stream: torch.cuda.Stream | None) -> None:
    """Have a stream wait until blocks can be read; many may be behind one event."""
    if stream is not None:
        for event in {id(stored.after): stored.after for stored in blocks}.values():
            if event is not None:
                stream.wait_event(event)


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
        k, v = joined(stored.pieces).view(2, -1).unbind()
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
