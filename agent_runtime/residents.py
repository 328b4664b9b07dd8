"""Which blocks are in the pool: one copy each, pinned while a turn needs them, least recently used first to go."""

import itertools
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from agent_runtime.engine.errors import PinBooksError, PoolFull
from agent_runtime.engine.pool import Pool
from agent_runtime.engine.prefix_tree import PrefixTree
from agent_runtime.engine.runs import EMPTY_RUN, Run
from agent_runtime.engine.span import View
from agent_runtime.token_blocks import TokenBlock, key_of
from agent_runtime.turn import Mode

# Standings are kept for this many sessions, those that took a turn last: each is a few references for every block.
_MOST_KEPT = 256


@dataclass(eq=False, slots=True)
class Resident:
    """A block in the pool, or about to be (its span is in the next forward). `serial` is never used again."""

    block: TokenBlock
    run: Run
    serial: int
    last_used: int
    pins: int = 0
    in_table: bool = True


@dataclass(eq=False, slots=True)
class Standing:
    """A prompt's blocks as they stand in the pool: `found` by their keys, pinned once each, and `residents` by place.

    `view`, which goes by `name`, shows them. `opening` is the one of the match that they were linked to.
    """

    match: str
    mode: Mode
    blocks: tuple[TokenBlock, ...]
    found: dict[str, Resident]
    residents: tuple[Resident, ...]
    name: tuple[int, ...]
    view: View
    opening: object
    last_used: int = 0


class Residents:
    """Owner of all static runs: blocks in one table, ordinary prefixes in a tree for each salt, one
    least-recently-used order.

    Engine thread only. The verbs: `add`, `pin` / `unpin`, `forget`, `make_room`; `match_prefix`, `insert_prefix`; and
    `keep` / `take`: a turn may leave its standing, pins and all, to the next one of its session. Such pins are weak:
    to make room they count for as much as unpinned blocks that were used when the turn ended.

    `evicted` is told of the blocks that `make_room` lets go, the least recently used first, with the runs that they
    had: they stand there until somebody takes those slots.
    """

    def __init__(self, pool: Pool, evicted: Callable[[Sequence[Resident]], None] = lambda blocks: None) -> None:
        self.pool = pool
        self._evicted = evicted
        self._prefixes: dict[str, PrefixTree] = {}
        self._table: dict[str, Resident] = {}
        # What nobody pins, and standings that no turn holds: either with the least recently used first.
        self._loose: OrderedDict[Resident, None] = OrderedDict()
        self._kept: OrderedDict[str, Standing] = OrderedDict()
        # Pinned, and found by nobody any more.
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
        self._loose[resident] = None
        return resident

    def pin(self, resident: Resident) -> Resident:
        """Keep a block in the pool until it is unpinned."""
        if resident.pins == 0:
            del self._loose[resident]
        resident.pins += 1
        return resident

    def pin_known(self, keys: Iterable[str]) -> dict[str, Resident]:
        """Pin all of `keys` that are resident, and return them."""
        found = {key: resident for key in keys if (resident := self._table.get(key)) is not None}
        for resident in found.values():
            self.pin(resident)
        return found

    def missing(self, blocks: Iterable[TokenBlock]) -> list[str]:
        """Return the keys of `blocks` that are not resident now. A hint only on any other thread than the engine's."""
        return list(itertools.filterfalse(self._table.__contains__, map(key_of, blocks)))

    def unpin(self, resident: Resident) -> None:
        """Take a pin back; a block without any counts as used now."""
        resident.pins -= 1
        if resident.pins:
            return
        if resident.in_table:
            resident.last_used = self._now
            self._loose[resident] = None
        else:
            self._leaving.discard(resident)
            self.pool.release(resident.run)

    def unpin_all(self, standing: Standing) -> None:
        """Take back all pins of a standing."""
        for resident in standing.found.values():
            self.unpin(resident)

    def forget(self, resident: Resident) -> None:
        """Nobody finds the block any more; its slots are free once nobody pins it."""
        if not resident.in_table:
            return
        resident.in_table = False
        del self._table[resident.block.key]
        if resident.pins == 0:
            del self._loose[resident]
            self.pool.release(resident.run)
        else:
            self._leaving.add(resident)

    def keep(self, name: str, standing: Standing) -> None:
        """Let the next turn of a session of this name find how its last one stood; one kept before is let go."""
        self.let_go(name)
        standing.last_used = self._now
        self._kept[name] = standing
        if len(self._kept) > _MOST_KEPT:
            self.let_go(next(iter(self._kept)))

    def kept(self, name: str) -> Standing | None:
        """Return what is kept under a name, and leave it there. A hint only on any other thread than the engine's."""
        return self._kept.get(name)

    def take(self, name: str) -> Standing | None:
        """Hand over what was kept under a name, pins and all, if all of it may still be found."""
        standing = self._kept.pop(name, None)
        if standing is not None and self._leaving and not self._leaving.isdisjoint(standing.residents):
            self.unpin_all(standing)
            return None
        return standing

    def let_go(self, name: str) -> None:
        """Unpin what was kept under a name, if anything was."""
        standing = self._kept.pop(name, None)
        if standing is not None:
            self.unpin_all(standing)

    def _dissolve_oldest(self) -> None:
        """Unpin the standing that was used least recently; what nobody else pins is the first to go from now on."""
        _, standing = self._kept.popitem(last=False)
        for resident in reversed(standing.found.values()):
            self.unpin(resident)
            if resident in self._loose:
                resident.last_used = standing.last_used
                self._loose.move_to_end(resident, last=False)

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
                block, prefix = next(iter(self._loose), None), self._oldest_prefix()
                kept = next(iter(self._kept.values()), None)
                used = [each.last_used for each in (block, kept) if each is not None] + [*(prefix or ())[:1]]
                if not used:
                    raise PoolFull(needed=num_slots, free=self.pool.num_free, capacity=self.pool.num_slots)
                oldest = min(used)
                if block is not None and block.last_used == oldest:
                    self.forget(block)
                    victims.append(block)
                elif prefix is not None and prefix[0] == oldest:
                    self._evict_prefix(prefix[1])
                else:
                    self._dissolve_oldest()
        finally:
            if victims:
                self._evicted(victims)

    def _could_free(self, num_slots: int) -> bool:
        for resident in self._loose:
            num_slots -= resident.run.length
            if num_slots <= 0:
                return True
        num_kept: Counter[Resident] = Counter()
        for standing in self._kept.values():
            num_kept.update(standing.found.values())
            # Free once all standings that pin it are dissolved: the one looked at is the last of them.
            num_slots -= sum(each.run.length for each in standing.found.values() if each.pins == num_kept[each])
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

    def check(self, num_pins: int) -> None:
        """Raise PinBooksError unless there are as many pins as turns hold, `num_pins`, and as standings have left."""
        expected = num_pins + sum(len(standing.found) for standing in self._kept.values())
        found = sum(resident.pins for resident in (*self._table.values(), *self._leaving))
        unpinned = {resident for resident in self._table.values() if not resident.pins}
        if found != expected or self._loose.keys() != unpinned:
            raise PinBooksError(expected, found, len(unpinned), len(self._loose))
