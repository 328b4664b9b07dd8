"""The stores of a replay's lanes: each lane its own, on disk, thrown away at the end."""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from agent_runtime.block_cache import BlockStore, MemoryStore, Tensors
from agent_runtime.replay.store_kind import StoreKind
from agent_runtime.token_blocks import KEY_FORMAT
from kv_store import Store

# Longer than the writing of all blocks of a recording takes on the slowest disk.
_WRITE_S = 600.0


class LaneStores:
    """One store for each lane, by its number."""

    def __init__(self, stores: tuple[Store, ...] | None) -> None:
        self._stores = stores

    def of(self, lane: int) -> BlockStore:
        """Return a lane's store."""
        return MemoryStore() if self._stores is None else self._stores[lane]

    def to_fill(self, lane: int) -> BlockStore:
        """Return a lane's store for a first pass: what that closes stays in it."""
        return MemoryStore() if self._stores is None else _Filling(self._stores[lane])

    def flush(self) -> None:
        """Return when all that was put is on disk. Raises StoreError."""
        for store in self._stores or ():
            store.flush(_WRITE_S)


@contextmanager
def open_lane_stores(kind: StoreKind, num_lanes: int) -> Iterator[LaneStores]:
    """Stores in a temporary folder. Raises StoreError."""
    if kind is StoreKind.NONE:
        yield LaneStores(None)
        return
    with ExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="hotseat-replay-", ignore_cleanup_errors=True))
        stores = []
        for lane in range(num_lanes):
            store = Store(Path(name) / str(lane), fingerprint=KEY_FORMAT)
            stack.callback(store.close, 0.0)
            stores.append(store)
        yield LaneStores(tuple(stores))


class _Filling:
    """A store that forgets no match: the recording may close it, and the next pass is to find its blocks."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def put(self, match: str, key: str, tensors: Tensors, note: str = "") -> None:
        """Keep a block."""
        self._store.put(match, key, tensors, note)

    def link(self, match: str, keys: Iterable[str]) -> None:
        """Say that `match` uses these blocks too."""
        self._store.link(match, keys)

    def get_many(self, keys: Iterable[str]) -> dict[str, Tensors]:
        """Return what is there of `keys`."""
        return self._store.get_many(keys)

    def contains(self, keys: Iterable[str]) -> set[str]:
        """Return those of `keys` that need not be put."""
        return self._store.contains(keys)

    def durable(self, keys: Iterable[str]) -> set[str]:
        """Return those of `keys` that survive a crash."""
        return self._store.durable(keys)

    def forget_match(self, match: str) -> None:
        """Forget nothing."""
