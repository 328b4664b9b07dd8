"""The pool: one physical copy of every resident token's keys and values, in reference-counted slots.

Static blocks are immutable and shared; a run is contiguous unless the pool is fragmented, then it is a few extents. All
methods are called on the engine's thread only.

Shapes: N slots, G key/value heads, D head dimension.
"""

from collections.abc import Iterable, Sequence

import numpy
import torch

from agent_runtime.engine.copies import there
from agent_runtime.engine.errors import PoolBooksError, PoolFull
from agent_runtime.engine.extents import FreeExtents
from agent_runtime.engine.kv_geometry import KVGeometry
from agent_runtime.engine.leaving import Leaving
from agent_runtime.engine.runs import EMPTY_RUN, Run
from agent_runtime.engine.staging import Staging, Stored, halves, stored_of, write_by_layer


class Pool:
    """Owner of all slots. `acquire` / `share` / `release` are its only verbs; `check` reconciles its books."""

    def __init__(self, geometry: KVGeometry, num_slots: int) -> None:
        self.geometry = geometry
        self.num_slots = num_slots
        shape_NGD = (num_slots, geometry.num_kv_heads, geometry.head_dim)
        self.keys = [torch.zeros(shape_NGD, dtype=geometry.dtype, device=device) for device in geometry.devices]
        self.values = [torch.zeros(shape_NGD, dtype=geometry.dtype, device=device) for device in geometry.devices]
        self._staging = Staging(self.keys, self.values) if geometry.is_on_one_gpu else None
        self._leaving = Leaving(self.keys, self.values)
        self._references = numpy.zeros(num_slots, dtype=numpy.int32)
        self._free = FreeExtents([(0, num_slots)])

    @property
    def num_free(self) -> int:
        """Return how many slots nobody holds."""
        return self._free.num_free

    def acquire(self, length: int) -> Run:
        """Return `length` slots with one reference each; raise PoolFull (and take nothing) if there are not so many."""
        if length > self.num_free:
            raise PoolFull(needed=length, free=self.num_free, capacity=self.num_slots)
        if length == 0:
            return EMPTY_RUN
        taken = self._free.take(length)
        for first, count in taken:
            self._references[first : first + count] = 1
        return Run(tuple(taken), length)

    def share(self, run: Run) -> Run:
        """Add one reference to every slot of `run` and return it."""
        for first, count in run.extents:
            self._references[first : first + count] += 1
        return run

    def num_unshared(self, run: Run) -> int:
        """Return how many slots would be free again if `run` were released."""
        return sum(int((self._references[first : first + count] == 1).sum()) for first, count in run.extents)

    def release(self, run: Run) -> None:
        """Take one reference from every slot of `run`; slots without any are free again."""
        for first, count in run.extents:
            references = self._references[first : first + count]
            references -= 1
            assert (references >= 0).all(), "a slot was released more often than it was taken"
            gone = numpy.flatnonzero(references == 0)
            if gone.size == 0:
                continue
            for stretch in numpy.split(gone, numpy.flatnonzero(numpy.diff(gone) > 1) + 1):
                self._free.put_back(first + int(stretch[0]), int(stretch.size))

    def check(self, holders: Iterable[Run]) -> None:
        """Raise PoolBooksError unless the references are exactly those of `holders` and all else is free."""
        expected = numpy.zeros(self.num_slots, dtype=numpy.int32)
        for run in holders:
            for first, count in run.extents:
                expected[first : first + count] += 1
        wrong = numpy.flatnonzero(expected != self._references)
        if wrong.size:
            slot = int(wrong[0])
            raise PoolBooksError(slot, int(expected[slot]), int(self._references[slot]), int(wrong.size))
        free = numpy.zeros(self.num_slots, dtype=bool)
        for first, count in self._free:
            free[first : first + count] = True
        if (free != (expected == 0)).any() or int(free.sum()) != self.num_free:
            raise PoolBooksError(int(numpy.flatnonzero(free != (expected == 0))[0]), 0, 0, 1)

    def read(self, run: Run) -> dict[str, torch.Tensor]:
        """Copy a run out: `k` and `v`, [layers, tokens, G, D] on the CPU, keys rotated at their local positions."""
        slots = {device: there(run.slots(), device) for device in {keys.device for keys in self.keys}}

        def copied(layers: Sequence[torch.Tensor]) -> torch.Tensor:
            read = [layer[slots[layer.device]] for layer in layers]
            # From one device all at once: whoever copies from it waits for it.
            return torch.stack(read).cpu() if len(slots) == 1 else torch.stack([layer.cpu() for layer in read])

        return {"k": copied(self.keys), "v": copied(self.values)}

    def write(self, run: Run, k: torch.Tensor, v: torch.Tensor) -> None:
        """Copy stored tensors (as `read` returns them) into the slots of `run`."""
        self.write_all([(run, k, v)])

    def write_all(self, stored: Sequence[tuple[Run, torch.Tensor, torch.Tensor]]) -> None:
        """Copy stored tensors into the slots of their runs, for all forwards from now on.

        To one GPU that is a kernel for many runs and all layers; pinned tensors are then read behind this call, and
        nobody may change them before the device is done.
        """
        self.load([(run, stored_of(k, v)) for run, k, v in stored])

    def load(self, blocks: Sequence[tuple[Run, Stored]]) -> torch.cuda.Event | None:
        """Do the same with stored blocks, and return the event behind which they have been read, if there is one."""
        if self._staging is not None:
            return self._staging.write([(run.slots(), stored) for run, stored in blocks])
        geometry = self.geometry
        for run, stored in blocks:
            if run.length:
                shape = (geometry.num_layers, run.length, geometry.num_kv_heads, geometry.head_dim)
                write_by_layer(self.keys, self.values, run.slots(), *halves(stored, shape))
        return None

    def send(self, blocks: Sequence[Stored]) -> list[Stored]:
        """Begin to copy blocks to the one GPU there is, to be loaded later; any thread.

        Returns the first of them, as many as there is room for: none if there is no such GPU.
        """
        return [] if self._staging is None else self._staging.send(blocks)

    def save(self, blocks: Sequence[tuple[Run, Sequence[torch.Tensor]]]) -> torch.cuda.Event | None:
        """Copy runs to the host's memory, for `load`, and return the event behind which they are there.

        Slots may be given to others at once. Raises torch.OutOfMemoryError where a GPU has no room for buffers.
        """
        return self._leaving.save([(run.slots(), pieces) for run, pieces in blocks])
