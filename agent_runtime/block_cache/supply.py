"""Where a turn gets the blocks that are not in the pool: the host's memory, packs, or an encoding of their own.

Which of them is decided when a turn is fetched for, on its caller's thread, for all missing blocks together (`costs`).
Packs are read there; on a GPU what they hold goes into the host's pinned memory, and copies to the device begin at
once, while it still computes the forward before. On the engine's thread they are claimed and put into their slots.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal

import torch

from agent_runtime.block_cache.costs import Missing, Rates, to_encode
from agent_runtime.block_cache.host_tier import HostTier
from agent_runtime.block_cache.store import BlockStore, MemoryStore, Tensors
from agent_runtime.engine.pool import Pool
from agent_runtime.engine.runs import Run
from agent_runtime.engine.staging import Stored, stored_of
from agent_runtime.token_blocks import TokenBlock

LoadOrEncode = Literal["auto", "load", "encode"]

# What opening packs and asking their index takes, however little is read.
_READ_S = 1e-3
# A disk that was slow may be quick again: behind so many seconds without a read one block is read to see.
_TRY_AGAIN_S = 30.0


@dataclass(frozen=True, slots=True)
class Staged:
    """What was found outside the pool of the blocks that were not in it.

    `asked` were missing, `read` came from packs and lie in `tensors` unless they are `sent`, on their way to the device
    already; `encode` could be loaded, and are better encoded or have to be, by what was set.
    """

    asked: frozenset[str] = frozenset()
    read: frozenset[str] = frozenset()
    tensors: Mapping[str, Tensors] = field(default_factory=dict)
    sent: Mapping[str, Stored] = field(default_factory=dict)
    encode: frozenset[str] = frozenset()


class ReadMeter:
    """How fast packs were read of late; any thread. What was read long ago counts less with every read.

    Behind a pause it counts for nothing if the next read is quicker: one read that stalled would have blocks encoded
    for minutes, since so few are read meanwhile. A slower one may only be small.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._tokens = self._seconds = 0.0
        self._read_at = clock()
        self._lock = threading.Lock()

    def add(self, num_tokens: int, seconds: float) -> None:
        """Count a read."""
        seconds = max(seconds - _READ_S, seconds / 10)
        with self._lock:
            if self.is_old and num_tokens * self._seconds > self._tokens * seconds:
                self._tokens = self._seconds = 0.0
            self._tokens = self._tokens / 2 + num_tokens
            self._seconds = self._seconds / 2 + seconds
            self._read_at = self._clock()

    @property
    def tokens_s(self) -> float | None:
        """Return tokens a second, None before anything was read."""
        with self._lock:
            return self._tokens / self._seconds if self._tokens and self._seconds else None

    @property
    def is_old(self) -> bool:
        """Whether the last read was so long ago that it may say nothing any more."""
        return self._clock() - self._read_at > _TRY_AGAIN_S


@dataclass(slots=True)
class Claim:
    """Stored blocks that nobody takes away until they are loaded, and where each lay."""

    pool: Pool
    stored: dict[str, Stored]
    lay: dict[str, str]
    read: torch.cuda.Event | None = None
    loaded: set[str] = field(default_factory=set)

    def load(self, blocks: Mapping[str, Run]) -> None:
        """Copy claimed blocks into the slots of their runs."""
        self.read = self.pool.load([(run, self.stored[key]) for key, run in blocks.items()])
        self.loaded.update(blocks)


class Supply:
    """Blocks from outside the pool. `rates` are what `auto` decides by; without them everything is loaded."""

    def __init__(
        self,
        pool: Pool,
        store: BlockStore,
        *,
        host: HostTier | None = None,
        rates: Rates | None = None,
        load_or_encode: LoadOrEncode = "load",
    ) -> None:
        self.host = host
        self.meter = ReadMeter()
        self._pool, self._store = pool, store
        self._rates, self._policy = rates, load_or_encode

    @property
    def why_encoded(self) -> str:
        """Return why what could be loaded is encoded."""
        return "loading is switched off" if self._policy == "encode" else "encoding it is quicker than loading it"

    @property
    def rates(self) -> Rates | None:
        """Return what decides between loading and encoding, with what was found out about the disk since."""
        if self._rates is None:
            return None
        return replace(self._rates, read_s=_READ_S, read_tokens_s=self.meter.tokens_s)

    # Any thread.

    def fetch(self, missing: Sequence[TokenBlock], num_rows: int) -> Staged:
        """Read what is to be loaded of `missing`, no two of one key, for a forward of `num_rows` rows besides.

        May wait for the disk. For a turn, which has rows of its own, copies to a GPU begin at once; what comes in the
        background has time.
        """
        keys = frozenset(block.key for block in missing)
        if self._policy == "encode":
            return Staged(asked=keys, encode=frozenset(self._in_packs(missing)))
        here = self.host.find(keys) if self.host is not None else set()
        encode = self._to_encode(missing, here, num_rows)
        tensors = self._read([block for block in missing if block.key not in here and block.key not in encode])
        if self.host is not None and self.host.keeps_loaded:
            self.host.put({key: (each["k"], each["v"]) for key, each in tensors.items()})
        sent = self._send([block.key for block in missing if block.key not in encode]) if num_rows else {}
        left = {key: each for key, each in tensors.items() if key not in sent}
        return Staged(keys, frozenset(tensors), left, sent, encode)

    def _in_packs(self, missing: Sequence[TokenBlock]) -> set[str]:
        return set() if isinstance(self._store, MemoryStore) else self._store.contains([each.key for each in missing])

    def _to_encode(self, missing: Sequence[TokenBlock], here: set[str], num_rows: int) -> frozenset[str]:
        rates = self.rates if self._policy == "auto" else None
        if rates is None:
            return frozenset()
        stored = self._in_packs(missing)
        found = [
            Missing(
                block.key,
                len(block.ids),
                "host" if block.key in here else "pack" if block.key in stored else None,
            )
            for block in missing
        ]
        encode = to_encode(found, rates, num_rows)
        unread = [each for each in found if each.key in encode and each.lies == "pack"]
        if unread and self.meter.is_old:
            encode -= {min(unread, key=lambda each: each.num_tokens).key}
        return encode

    def _read(self, blocks: Sequence[TokenBlock]) -> dict[str, Tensors]:
        if not blocks:
            return {}
        begin = time.perf_counter()
        found = self._store.get_many([block.key for block in blocks])
        if found:
            self.meter.add(sum(len(b.ids) for b in blocks if b.key in found), time.perf_counter() - begin)
        return found

    def _send(self, keys: Sequence[str]) -> dict[str, Stored]:
        """Begin to copy blocks from the host's memory to a GPU, as many as there is room for on it."""
        if self.host is None or not self.host.keeps_loaded:
            return {}
        held = self.host.hold(keys)
        sent: list[Stored] = []
        try:
            sent = self._pool.send(list(held.values()))
        finally:
            self.host.let_go(held, sent[0].after if sent else None, loaded=False)
        return dict(zip(held, sent, strict=False))

    # The engine's thread.

    @contextmanager
    def claimed(self, keys: Sequence[str], staged: Staged) -> Iterator[Claim]:
        """Hold what there is of `keys`, from where it comes soonest, for as long as it takes to load it."""
        stored = {key: staged.sent[key] for key in keys if key in staged.sent}
        wanted = [key for key in keys if key not in stored and key not in staged.encode]
        held = self.host.hold(wanted) if self.host is not None and self._policy != "encode" else {}
        for key in wanted:
            if key in held:
                stored[key] = held[key]
            elif key in staged.tensors:
                stored[key] = stored_of(staged.tensors[key]["k"], staged.tensors[key]["v"])
        lay = {key: "in the store" if key in staged.read else "in host memory" for key in stored}
        claim = Claim(self._pool, stored, lay)
        is_loaded = False
        try:
            yield claim
            is_loaded = True
        finally:
            if self.host is not None:
                self.host.let_go([key for key in held if key in claim.loaded], claim.read, loaded=is_loaded)
                self.host.let_go([key for key in held if key not in claim.loaded], None, loaded=False)
