"""The way of blocks out of the pool into the store, and which match each is kept for.

What a forward encodes is copied out behind it, a few blocks at a time, and handed to a store that does not wait for its
disk. A match has to be open for anything to be kept for it.
"""

import logging
import threading
from collections.abc import Iterable, Sequence
from itertools import filterfalse

import torch

from agent_runtime.block_cache.store import BlockStore
from agent_runtime.engine.pool import Pool
from agent_runtime.engine.scheduler import Engine
from agent_runtime.residents import Resident, Residents

_log = logging.getLogger(__name__)

_PERSIST_AT_ONCE = 16
# Beyond this many keys the oldest are let go: a key that is linked twice does no harm, one that grows without end does.
_MAX_KEYS = 100_000


class Outbox:
    """Blocks on their way to the store. Matches are opened and forgotten on any thread, the rest is the engine's."""

    def __init__(self, engine: Engine, pool: Pool, residents: Residents, store: BlockStore) -> None:
        self._engine = engine
        self._pool = pool
        self._residents = residents
        self._store = store
        # For every open match, the keys that the store knows to be its. Under the lock whenever the store is told of a
        # match: what is said of one that closes comes before all that is said of the next one of its name, or never.
        self._linked: dict[str, dict[str, None]] = {}
        self._linking = threading.Lock()
        self.num_copying = 0
        # Encoded in a forward that is not done yet, or waiting to be copied out.
        self._on_the_way: set[Resident] = set()
        # Copied out and refused by the store (its queue was full), with the match they belong to.
        self._refused: dict[Resident, str] = {}

    # Any thread.

    def open_match(self, match: str) -> None:
        """Keep blocks for a match from now on. Those of a match that is not open are computed and not kept."""
        with self._linking:
            self._linked.setdefault(match, {})

    def forget_match(self, match: str) -> None:
        """Keep nothing for a match any more, and let the store forget it; a turn under way links nothing afterwards.

        What is resident stays as long as there is room.
        """
        with self._linking:
            self._linked.pop(match, None)
            self._store.forget_match(match)

    # The engine's thread.

    def opening(self, match: str) -> object:
        """Return what tells this opening of a match from every other under its name, None if it is not open."""
        return self._linked.get(match)

    def expect(self, residents: Iterable[Resident]) -> None:
        """Say that a forward is to encode these: they are not there to be copied yet."""
        self._on_the_way.update(residents)

    def expect_no_longer(self, resident: Resident) -> None:
        """Say that a block was not encoded."""
        self._on_the_way.discard(resident)

    def link(self, match: str, keys: Iterable[str], known: Iterable[Resident]) -> None:
        """Say that `match` uses `keys`; a `known` one that the store lost with its last match is written again."""
        with self._linking:
            linked = self._linked.get(match)
            unknown = dict.fromkeys(filterfalse(linked.__contains__, keys) if linked is not None else ())
            if linked is None or not unknown:
                return
            self._store.link(match, unknown)
            remember(linked, unknown)
        self.write_behind(match, [each for each in known if each.block.key in unknown and each not in self._on_the_way])

    def write_behind(self, match: str, residents: Sequence[Resident]) -> None:
        """Copy blocks to the store, those it lacks, after the results of this forward are out.

        It has what was loaded, unless it refused the block, or let it go while it was elsewhere; and it has what could
        have been loaded and was encoded, for which no device is to be waited for. One that keeps nothing gets nothing.
        """
        stored = self._store.contains([resident.block.key for resident in residents]) if residents else set()
        self._on_the_way.difference_update(each for each in residents if each.block.key in stored)
        residents = [each for each in residents if each.block.key not in stored]
        if residents:
            for resident in residents:
                self._residents.pin(resident)
            self._on_the_way.update(residents)
            self.num_copying += len(residents)
            self._engine.soon(lambda: self._copy_out(match, residents))

    def _copy_out(self, match: str, residents: Sequence[Resident]) -> None:
        """Copy some, and come back for the rest: a turn that arrives meanwhile does not wait for all."""
        now = residents[:_PERSIST_AT_ONCE]
        for resident, tensors in zip(now, self._copies(now), strict=True):
            try:
                if tensors is not None:
                    self._put(match, resident, tensors)
            except Exception:
                _log.exception("block %r was not kept", resident.block.name)
            finally:
                self._on_the_way.discard(resident)
                self._residents.unpin(resident)
                self.num_copying -= 1
        if len(residents) > _PERSIST_AT_ONCE:
            self._engine.soon(lambda: self._copy_out(match, residents[_PERSIST_AT_ONCE:]))

    def _copies(self, residents: Sequence[Resident]) -> Sequence[dict[str, torch.Tensor] | None]:
        """Read blocks out of the pool. With no lock held: it may have to wait for another engine's forward."""
        try:
            return self._engine.compute(lambda: [self._pool.read(resident.run) for resident in residents])
        except Exception:
            _log.exception("%d blocks were not kept", len(residents))
            return [None] * len(residents)

    def _put(self, match: str, resident: Resident, tensors: dict[str, torch.Tensor]) -> None:
        key = resident.block.key
        with self._linking:
            # A match that has closed may have shared it with others, which leave it to the one that encoded it.
            users = (each for each, linked in self._linked.items() if key in linked)
            user = match if match in self._linked else next(users, None)
            if user is None:
                return
            self._store.put(user, key, tensors, resident.block.name)
        if not self._store.contains([key]):
            self._refused = {each: name for each, name in self._refused.items() if each.in_table}
            self._refused[resident] = user

    def put_again(self) -> bool:
        """Give the store once more what it had no room for; False when there is nothing of that kind."""
        refused, self._refused = self._refused, {}
        for resident, match in refused.items():
            if resident.in_table and resident not in self._on_the_way:
                self.write_behind(match, [resident])
        return bool(refused)


def remember(known: dict[str, None], keys: Iterable[str]) -> None:
    """Add keys to a set that lets its oldest go."""
    known.update(dict.fromkeys(keys))
    while len(known) > _MAX_KEYS:
        del known[next(iter(known))]
