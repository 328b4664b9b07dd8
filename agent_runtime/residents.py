"""Which blocks are in the pool: one copy each, pinned while a turn needs them, least recently used first to go."""

import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from agent_runtime.engine.errors import PoolFull
from agent_runtime.engine.pool import EMPTY_RUN, Pool, Run
from agent_runtime.engine.prefix_tree import PrefixTree
from agent_runtime.token_blocks import TokenBlock


@dataclass(eq=False, slots=True)
class Resident:
    """A block in the pool, or about to be (its span is in the next forward). `serial` is never used again."""

    block: TokenBlock
    run: Run
    serial: int
    last_used: int
    pins: int = 0
    in_table: bool = True


class Residents:
    """Owner of all static runs: blocks in one table, ordinary prefixes in a tree for each salt, one
    least-recently-used order.

    Engine thread only. The verbs: `add`, `pin` / `unpin`, `forget`, `make_room`; `match_prefix`, `insert_prefix`.

    `evicted` is told of the blocks that `make_room` lets go, the least recently used first, with the runs that they
    had: they stand there until somebody takes those slots.
    """

    def __init__(self, pool: Pool, evicted: Callable[[Sequence[Resident]], None] = lambda blocks: None) -> None:
        self.pool = pool
        self._evicted = evicted
        self._prefixes: dict[str, PrefixTree] = {}
        self._table: OrderedDict[str, Resident] = OrderedDict()
        self._leaving: set[Resident] = set()
        self._serials = itertools.count()
        self._now = 0

    def tick(self) -> int:
        """Return the next moment of the least-recently-used order."""
        self._now += 1
        return self._now

    def add(self, block: TokenBlock) -> Resident:
        """Take slots for a block; raise PoolFull if room was not made before."""
        resident = Resident(block, self.pool.acquire(len(block.ids)), next(self._serials), self._now)
        self._table[block.key] = resident
        return resident

    def pin(self, resident: Resident) -> Resident:
        """Keep a block in the pool until it is unpinned, and count it as used now."""
        resident.pins += 1
        resident.last_used = self._now
        self._table.move_to_end(resident.block.key)
        return resident

    def pin_known(self, keys: Iterable[str]) -> dict[str, Resident]:
        """Pin all of `keys` that are resident, and return them."""
        table, now, found = self._table, self._now, {}
        for key in keys:
            resident = table.get(key)
            if resident is not None:
                resident.pins += 1
                resident.last_used = now
                table.move_to_end(key)
                found[key] = resident
        return found

    def missing(self, blocks: Iterable[TokenBlock]) -> list[str]:
        """Return the keys of `blocks` that are not resident now. A hint only on any other thread than the engine's."""
        table = self._table
        return [block.key for block in blocks if block.key not in table]

    def unpin(self, resident: Resident) -> None:
        """Take a pin back."""
        resident.pins -= 1
        if not resident.in_table and resident.pins == 0:
            self._leaving.discard(resident)
            self.pool.release(resident.run)

    def forget(self, resident: Resident) -> None:
        """Nobody finds the block any more; its slots are free once nobody pins it."""
        if not resident.in_table:
            return
        resident.in_table = False
        del self._table[resident.block.key]
        if resident.pins == 0:
            self.pool.release(resident.run)
        else:
            self._leaving.add(resident)

    def match_prefix(self, ids: Sequence[int], salt: str) -> Run:
        """Return the run of the longest resident prefix of `ids` under this salt, referenced for the caller."""
        tree, now = self._prefixes.get(salt), self.tick()
        return EMPTY_RUN if tree is None else tree.match(ids, now)

    def insert_prefix(self, ids: Sequence[int], run: Run, salt: str) -> None:
        """Keep `ids`, whose keys and values lie in `run`, for prompts of this salt."""
        self._prefixes.setdefault(salt, PrefixTree(self.pool)).insert(ids, run, self.tick())

    def _oldest_prefix(self) -> tuple[int, str] | None:
        """When the least recently used prefix was used, and its salt."""
        used = ((tree.oldest(), salt) for salt, tree in self._prefixes.items())
        return min(((at, salt) for at, salt in used if at is not None), default=None)

    def _evict_prefix(self, salt: str) -> None:
        tree = self._prefixes[salt]
        tree.evict_oldest()
        if tree.oldest() is None:
            del self._prefixes[salt]

    def make_room(self, num_slots: int) -> None:
        """Evict what was least recently used until `num_slots` are free. Raises PoolFull if pins forbid.

        Then nothing was evicted: what cannot be had costs nobody their blocks.
        """
        if self.pool.num_free >= num_slots:
            return
        if not self._could_free(num_slots - self.pool.num_free):
            raise PoolFull(needed=num_slots, free=self.pool.num_free, capacity=self.pool.num_slots)
        victims: list[Resident] = []
        try:
            while self.pool.num_free < num_slots:
                victim = next((resident for resident in self._table.values() if resident.pins == 0), None)
                prefix = self._oldest_prefix()
                if victim is not None and (prefix is None or victim.last_used <= prefix[0]):
                    self.forget(victim)
                    victims.append(victim)
                elif prefix is not None:
                    self._evict_prefix(prefix[1])
                else:
                    raise PoolFull(needed=num_slots, free=self.pool.num_free, capacity=self.pool.num_slots)
        finally:
            if victims:
                self._evicted(victims)

    def _could_free(self, num_slots: int) -> bool:
        for resident in self._table.values():
            if resident.pins == 0:
                num_slots -= resident.run.length
            if num_slots <= 0:
                return True
        return num_slots <= sum(self.pool.num_unshared(run) for run in self.held_prefixes())

    def acquire(self, num_slots: int) -> Run:
        """Take slots, making room if need be: what a turn's tail grows by."""
        self.make_room(num_slots)
        return self.pool.acquire(num_slots)

    def held(self) -> Iterator[Run]:
        """Yield every run held here, for the pool's books."""
        yield from (resident.run for resident in self._table.values())
        yield from (resident.run for resident in self._leaving)
        yield from self.held_prefixes()

    def held_prefixes(self) -> Iterator[Run]:
        """Yield the runs of all prefixes."""
        return (run for tree in self._prefixes.values() for run in tree.held())
