"""The tier behind the pool: blocks in the host's memory, from where they are copied and not encoded again.

Blocks come here when they are evicted from the pool, copied out while the device goes on, and when they were read from
a pack, so that the device fetches them from pinned memory. The least recently used goes first. A block can be found as
soon as its copy has been begun: whoever loads it has the device wait for that copy, so nobody sees half a block.

On a GPU a block that is loaded stays here as well: its next eviction then copies nothing. Where the pool itself lies in
the host's memory, as on a CPU, every byte here would be a second copy of what the pool could hold: the tier is off
there unless it is asked for (`--host-cache-mib`), a larger pool does the same for less, and packs that were read lie in
the system's page cache. If it is asked for, a block lies in one of the two: it leaves when it is loaded, and none comes
that was read for the pool.

Ordinary prefixes (`prefix`) do not come here: their parts follow from all that is before them, and stay in the pool.
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from agent_runtime.engine.errors import first_line
from agent_runtime.engine.host_memory import HostMemory, Pieces
from agent_runtime.engine.pool import Pool
from agent_runtime.engine.runs import Run
from agent_runtime.engine.staging import Stored

_log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class _HostBlock:
    """A block here; `stored` says behind which event it is whole, `readers` behind which nobody reads it any more."""

    key: str
    pieces: Pieces
    stored: Stored
    holds: int = 0
    readers: list[torch.cuda.Event] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class HostStats:
    """What lies in the host's memory, and what became of it: counted from the start, sizes in bytes."""

    blocks: int
    used_bytes: int
    held_bytes: int
    budget_bytes: int
    is_pinned: bool
    taken: int
    loaded: int
    dropped: int
    refused: int


class HostTier:
    """Owner of the blocks in `memory`. `take` and `put` bring them, `hold` / `let_go` read them; any thread.

    `keeps_loaded` says whether a block stays when it has been loaded into the pool.
    """

    def __init__(self, pool: Pool, memory: HostMemory, *, keeps_loaded: bool) -> None:
        self._pool, self._memory, self._dtype = pool, memory, pool.geometry.dtype
        self.keeps_loaded = keeps_loaded
        self._blocks: OrderedDict[str, _HostBlock] = OrderedDict()
        # Being written, and not to be found yet.
        self._filling: set[Pieces] = set()
        self._lock = threading.Lock()
        self._taken = self._loaded = self._dropped = self._refused = 0
        self._told = False

    # Any thread.

    def find(self, keys: Iterable[str]) -> set[str]:
        """Return those of `keys` that are here; that counts as a use. A hint: they may be gone when they are held."""
        with self._lock:
            found = [key for key in keys if key in self._blocks]
            for key in found:
                self._blocks.move_to_end(key)
            return set(found)

    def hold(self, keys: Iterable[str]) -> dict[str, Stored]:
        """Return those of `keys` that are here, to be read until they are let go; a key that comes twice counts once.

        Who holds them again lets them go again.
        """
        found = {}
        with self._lock:
            for key in dict.fromkeys(keys):
                block = self._blocks.get(key)
                if block is not None:
                    block.holds += 1
                    self._blocks.move_to_end(key)
                    found[key] = block.stored
        return found

    def let_go(self, keys: Iterable[str], read: torch.cuda.Event | None, *, loaded: bool) -> None:
        """Say that blocks that were held have been read, or will be when the device is at `read`.

        `loaded` says that they are in the pool now, or about to be.
        """
        with self._lock:
            for key in keys:
                block = self._blocks[key]
                block.holds -= 1
                self._loaded += loaded
                if read is not None:
                    block.readers = [event for event in block.readers if not event.query()]
                    block.readers.append(read)
                if loaded and not self.keeps_loaded and block.holds == 0:
                    self._remove(block)

    def put(self, tensors: Mapping[str, tuple[torch.Tensor, torch.Tensor]]) -> None:
        """Keep copies of blocks that were read, keys and values [L, t, G, D] each, as many as there is room for."""
        for key, halves in tensors.items():
            num_bytes = sum(half.numel() for half in halves) * self._dtype.itemsize
            with self._lock:
                pieces = None if key in self._blocks else self._room(num_bytes)
                parts = [] if pieces is None else self._memory.tensors(pieces, self._dtype)
            if pieces is None:
                continue
            try:
                _copy_in(halves, parts)
            except BaseException:
                self._give_back([pieces])
                raise
            self._publish({key: (pieces, Stored(parts))})

    # The engine's thread.

    def take(self, evicted: Sequence[tuple[str, Run]]) -> None:
        """Copy blocks out of the pool that leave it now, the least recently used first; their slots may be written.

        Those used last are kept, if there is not room for all. What cannot be kept is not here: no more happens.
        """
        rooms: dict[str, tuple[Run, Pieces, list[torch.Tensor]]] = {}
        with self._lock:
            coming: list[tuple[str, Run]] = []
            for key, run in evicted:
                if key in self._blocks:
                    self._blocks.move_to_end(key)
                else:
                    coming.append((key, run))
            for key, run in reversed(coming):
                pieces = self._room(run.length * self._pool.geometry.bytes_per_token)
                if pieces is None:
                    break
                rooms[key] = (run, pieces, self._memory.tensors(pieces, self._dtype))
        try:
            whole = self._pool.save([(run, parts) for run, _, parts in rooms.values()])
        except Exception as error:  # a device without room for buffers; evicting has to go on
            self._give_back([pieces for _, pieces, _ in rooms.values()])
            if not self._told:
                _log.warning("blocks that leave the pool are not kept in host memory: %s", first_line(error))
                self._told = True
            return
        self._publish({key: (pieces, Stored(parts, whole)) for key, (_, pieces, parts) in reversed(rooms.items())})

    # Books.

    def stats(self) -> HostStats:
        """Return the counters and sizes."""
        with self._lock:
            return HostStats(
                blocks=len(self._blocks),
                used_bytes=sum(block.pieces.num_bytes for block in self._blocks.values()),
                held_bytes=self._memory.held_bytes,
                budget_bytes=self._memory.most_bytes,
                is_pinned=self._memory.is_pinned,
                taken=self._taken,
                loaded=self._loaded,
                dropped=self._dropped,
                refused=self._refused,
            )

    def check(self) -> None:
        """Raise HostBooksError unless all memory is accounted for."""
        with self._lock:
            self._memory.check([*(block.pieces for block in self._blocks.values()), *self._filling])

    def _room(self, num_bytes: int) -> Pieces | None:
        """Return memory that nobody finds yet, making room if need be. None where pins or the budget forbid."""
        while num_bytes <= self._memory.most_bytes:
            pieces = self._memory.acquire(num_bytes)
            if pieces is not None:
                self._filling.add(pieces)
                return pieces
            victim = next((block for block in self._blocks.values() if block.holds == 0), None)
            if victim is None:
                break
            self._dropped += 1
            self._remove(victim)
        self._refused += 1
        return None

    def _remove(self, block: _HostBlock) -> None:
        # Seldom waits: what goes first was copied and read long ago.
        for event in (block.stored.after, *block.readers):
            if event is not None:
                event.synchronize()
        del self._blocks[block.key]
        self._memory.release(block.pieces)

    def _publish(self, blocks: Mapping[str, tuple[Pieces, Stored]]) -> None:
        with self._lock:
            for key, (pieces, stored) in blocks.items():
                self._filling.remove(pieces)
                if key in self._blocks:  # somebody else was as quick
                    if stored.after is not None:
                        stored.after.synchronize()
                    self._memory.release(pieces)
                else:
                    self._blocks[key] = _HostBlock(key, pieces, stored)
                    self._taken += 1

    def _give_back(self, rooms: Iterable[Pieces]) -> None:
        with self._lock:
            for pieces in rooms:
                self._filling.remove(pieces)
                self._memory.release(pieces)


def _copy_in(halves: Sequence[torch.Tensor], parts: Sequence[torch.Tensor]) -> None:
    """Copy keys and values, one behind the other, into memory that is cut elsewhere."""
    numbers = [half.reshape(-1) for half in halves]
    for part in parts:
        filled = 0
        while filled < part.numel():
            piece = numbers[0][: part.numel() - filled]
            part[filled : filled + piece.numel()].copy_(piece)
            filled += piece.numel()
            numbers[0] = numbers[0][piece.numel() :]
            if not numbers[0].numel():
                del numbers[0]
