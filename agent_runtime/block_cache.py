"""The single bridge between prompt blocks and resident keys and values.

For every block of a prompt: resident in the pool (a hit), else loaded from the store, else encoded in the turn's own
forward. What is encoded is written behind. All books but those of the open matches are kept on the engine's thread.
What the store has is always loaded: for the embedded model on two cores that is an order of magnitude cheaper than
encoding. The cost model that an 8B model on a GPU needs is not built yet.
"""

import itertools
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch

from agent_runtime.engine.cursor import Cursor
from agent_runtime.engine.pool import EMPTY_RUN, Run, joined
from agent_runtime.engine.scheduler import Engine
from agent_runtime.engine.span import NOTHING, Placed, Positions, Span, View, view_of_blocks
from agent_runtime.residents import Resident, Residents
from agent_runtime.token_blocks import TokenBlock, TokenPrompt
from agent_runtime.turn import BlockUse, Mode

_log = logging.getLogger(__name__)

BLOCK_MODES = (Mode.STAR, Mode.ANCHORED)
_PERSIST_AT_ONCE = 16
_MAX_VIEWS = 256
# Beyond this many keys the oldest are let go: a key that is linked twice does no harm, one that grows without end does.
_MAX_KEYS = 100_000

Tensors = Mapping[str, torch.Tensor]


class BlockStore(Protocol):
    """Where blocks outlive the pool. Neither `put` nor `link` waits for a disk; `get_many` may read one.

    A key that `get_many` leaves out is a miss, whatever the reason; `durable` says which keys a crash cannot lose.
    """

    def put(self, match: str, key: str, tensors: Tensors, note: str = "") -> None:
        """Keep a block for `match`; takes ownership of the tensors."""

    def link(self, match: str, keys: Iterable[str]) -> None:
        """Say that `match` uses these blocks too, whoever put them."""

    def get_many(self, keys: Iterable[str]) -> dict[str, Tensors]:
        """Return what is there of `keys`, verified."""

    def contains(self, keys: Iterable[str]) -> set[str]:
        """Return those of `keys` that need not be put: durable, or on their way to it."""

    def durable(self, keys: Iterable[str]) -> set[str]:
        """Return those of `keys` that survive a crash."""

    def forget_match(self, match: str) -> None:
        """Keep what `match` alone uses no longer."""


class MemoryStore:
    """Keeps nothing: every block that left the pool is encoded again. For an engine without a disk."""

    def put(self, match: str, key: str, tensors: Tensors, note: str = "") -> None:
        """Let the block go."""

    def link(self, match: str, keys: Iterable[str]) -> None:
        """Link nothing."""

    def get_many(self, keys: Iterable[str]) -> dict[str, Tensors]:
        """Return nothing."""
        return {}

    def contains(self, keys: Iterable[str]) -> set[str]:
        """Return all: putting them would change nothing."""
        return set(keys)

    def durable(self, keys: Iterable[str]) -> set[str]:
        """Return nothing: no block survives."""
        return set()

    def forget_match(self, match: str) -> None:
        """Forget nothing."""


@dataclass(frozen=True, slots=True)
class Staged:
    """What the store had of the blocks that were not in the pool: those `asked` for, and the tensors that came."""

    asked: frozenset[str] = frozenset()
    tensors: Mapping[str, Tensors] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class Placement:
    """One turn's prompt, placed: the cursor behind its static part, and what its first forward has to compute.

    `riding` are the spans of blocks that are encoded in that forward. `lead` are static tokens that the observation's
    span carries itself (`full`: all; `prefix`: what is not resident), `observation` the tokens behind them. `uses` says
    for every block key how it came into the pool, None for a hit. Engine thread only: `settle` after the forward,
    `release` at the end, whatever happened.
    """

    cache: "BlockCache"
    match: str
    cursor: Cursor
    lead: tuple[int, ...]
    observation: tuple[int, ...]
    riding: tuple[Span, ...] = ()
    uses: Mapping[str, BlockUse | None] = field(default_factory=dict)
    num_cached: int = 0
    pinned: tuple[Resident, ...] = ()
    fresh: tuple[Resident, ...] = ()
    prefix_ids: tuple[int, ...] | None = None
    prefix_run: Run = EMPTY_RUN
    salt: str = ""
    settled: bool = False

    @property
    def num_encoded(self) -> int:
        """Return the static tokens that the first forward computes."""
        return len(self.lead) + sum(len(span.ids) for span in self.riding)

    def settle(self) -> None:
        """Say that the forward is done: what it encoded may be found by others, and is written behind."""
        self.settled = True
        if self.prefix_ids is not None:
            run = joined((self.prefix_run, *self.cursor.held()))
            self.cache.insert_prefix(self.prefix_ids, run, self.salt)
        self.cache.write_behind(self.match, self.fresh)

    def release(self) -> None:
        """Unpin everything; what was to be encoded and was not is forgotten."""
        self.cache.end(self)


class BlockCache:
    """Which blocks are in the pool, and how the others get there."""

    def __init__(self, engine: Engine, store: BlockStore, positions: Positions = Positions.SEQUENTIAL) -> None:
        self.engine = engine
        self._positions = positions
        self.pool = engine.runner.pool
        self.residents = Residents(self.pool)
        self._store = store
        self._placements: set[Placement] = set()
        self._seen: dict[str, None] = {}
        # For every open match, the keys that the store knows to be its. Under the lock whenever the store is told of a
        # match: what is said of one that closes comes before all that is said of the next one of its name, or never.
        self._linked: dict[str, dict[str, None]] = {}
        self._linking = threading.Lock()
        self._views: OrderedDict[tuple[int, ...], View] = OrderedDict()
        self._num_copying = 0
        # Encoded in a forward that is not done yet, or waiting to be copied out.
        self._on_the_way: set[Resident] = set()
        # Copied out and refused by the store (its queue was full), with the match they belong to.
        self._refused: dict[Resident, str] = {}

    # Any thread.

    def fetch(self, mode: Mode, blocks: Sequence[TokenBlock]) -> Staged:
        """Read from the store what of `blocks` is not in the pool. May wait for the disk."""
        missing = self.residents.missing(blocks) if mode in BLOCK_MODES else []
        return Staged(frozenset(missing), self._store.get_many(missing)) if missing else Staged()

    def not_durable(self, mode: Mode, blocks: Sequence[TokenBlock]) -> tuple[str, ...]:
        """Return the names of `blocks` that a crash now would lose."""
        if mode not in BLOCK_MODES:
            return ()
        durable = self._store.durable([block.key for block in blocks])
        return tuple(block.name for block in blocks if block.key not in durable)

    def written_behind(self, timeout_s: float) -> None:
        """Return when all that was encoded so far is in the store's hands. Raises TimeoutError."""
        deadline = time.perf_counter() + timeout_s
        while self.engine.ask(lambda: self._num_copying, max(0.0, deadline - time.perf_counter())):
            pass

    def put_again(self, timeout_s: float) -> bool:
        """Give the store once more what it had no room for; False when there is nothing of that kind."""
        return self.engine.ask(self._put_again, timeout_s)

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

    def place(self, match: str, mode: Mode, prompt: TokenPrompt, staged: Staged) -> Placement:
        """Find or make room for a prompt's blocks; the observation's span is made by the caller.

        Raises PoolFull when other turns' pins leave too little room; nothing stays taken then.
        """
        place = self._place_blocks if mode in BLOCK_MODES else self._place_chain
        placement = place(match, mode, prompt, staged)
        self._placements.add(placement)
        return placement

    def _place_chain(self, match: str, mode: Mode, prompt: TokenPrompt, staged: Staged) -> Placement:
        ids = tuple(itertools.chain.from_iterable(block.ids for block in prompt.blocks)) + prompt.observation
        found = self._match_prefix(ids, prompt.salt) if mode is Mode.PREFIX else EMPTY_RUN
        view = View((Placed(found, 0),)) if found.length else NOTHING
        return Placement(
            self,
            match,
            Cursor(self.pool, view, found.length, self.residents.acquire),
            lead=ids[found.length : max(found.length, prompt.num_static)],
            observation=ids[max(found.length, prompt.num_static) :],
            num_cached=found.length,
            prefix_ids=ids if mode is Mode.PREFIX else None,
            prefix_run=found,
            salt=prompt.salt,
        )

    def _match_prefix(self, ids: tuple[int, ...], salt: str) -> Run:
        """Return the resident prefix of `ids`, referenced; the last token is always left: its logits are the answer."""
        matched = self.residents.match_prefix(ids, salt)
        found = matched.part(0, min(matched.length, len(ids) - 1))
        self.pool.release(matched.part(found.length, matched.length))
        return found

    def _place_blocks(self, match: str, mode: Mode, prompt: TokenPrompt, staged: Staged) -> Placement:
        self.residents.tick()
        blocks = {block.key: block for block in prompt.blocks}
        found = self.residents.pin_known(blocks)
        missing = [block for key, block in blocks.items() if key not in found]
        try:
            return self._fill_in(match, mode, prompt, staged, found, missing)
        except BaseException:
            # A block that will not be encoded now must not be found by others.
            for block in missing:
                if block.key in found:
                    self._on_the_way.discard(found[block.key])
                    self.residents.forget(found[block.key])
            for resident in found.values():
                self.residents.unpin(resident)
            raise

    def _fill_in(
        self,
        match: str,
        mode: Mode,
        prompt: TokenPrompt,
        staged: Staged,
        found: dict[str, Resident],
        missing: Sequence[TokenBlock],
    ) -> Placement:
        """Add the `missing` blocks to those `found`, each pinned as soon as it is there."""
        self.residents.make_room(sum(len(block.ids) for block in missing))
        known = list(found.values())
        uses: dict[str, BlockUse | None] = dict.fromkeys(found)
        fresh = []
        for block in missing:
            resident = found[block.key] = self.residents.pin(self.residents.add(block))
            tensors = staged.tensors.get(block.key)
            if tensors is None:
                fresh.append(resident)
                uses[block.key] = BlockUse(block.name, "encoded", len(block.ids), self._why(block.key, staged))
            else:
                self.pool.write(resident.run, tensors["k"], tensors["v"])
                uses[block.key] = BlockUse(block.name, "loaded", len(block.ids), "in the store")
        _remember(self._seen, [block.key for block in missing])
        self._link(match, found, known)
        self._on_the_way.update(fresh)
        residents = [found[block.key] for block in prompt.blocks]
        view = self._view_of(mode, residents)
        return Placement(
            self,
            match,
            Cursor(self.pool, view, view.behind, self.residents.acquire),
            lead=(),
            observation=prompt.observation,
            riding=tuple(self._spans_of(mode, residents[0], fresh)),
            uses=uses,
            num_cached=view.length - sum(resident.run.length for resident in fresh),
            pinned=tuple(found.values()),
            fresh=tuple(fresh),
        )

    def _why(self, key: str, staged: Staged) -> str:
        """Return why a block has to be encoded."""
        if key not in self._seen:
            return "new"
        return "left the pool and is not in the store" if key in staged.asked else "left the pool as its turn waited"

    def _spans_of(self, mode: Mode, anchor: Resident, fresh: Sequence[Resident]) -> list[Span]:
        behind = (
            self._view((anchor.serial,), lambda: View((Placed(anchor.run, 0),))) if mode is Mode.ANCHORED else NOTHING
        )
        return [
            Span(resident.block.ids, 0, NOTHING, keep=resident.run)
            if resident is anchor
            else Span(resident.block.ids, behind.length, behind, keep=resident.run)
            for resident in fresh
        ]

    def _view_of(self, mode: Mode, residents: Sequence[Resident]) -> View:
        """Return the view of all blocks in their order: each moved from its local start to its place here."""
        anchored = mode is Mode.ANCHORED
        name = (anchored, *(resident.serial for resident in residents))
        runs = [resident.run for resident in residents]
        return self._view(name, lambda: view_of_blocks(runs, anchored=anchored, positions=self._positions))

    def _view(self, name: tuple[int, ...], make: Callable[[], View]) -> View:
        view = self._views.get(name)
        if view is None:
            view = self._views[name] = make()
            if len(self._views) > _MAX_VIEWS:
                self._views.popitem(last=False)
        else:
            self._views.move_to_end(name)
        return view

    def _link(self, match: str, keys: Iterable[str], known: Iterable[Resident]) -> None:
        """Say that `match` uses `keys`; a `known` one that the store lost with its last match is written again."""
        with self._linking:
            linked = self._linked.get(match)
            unknown = dict.fromkeys([key for key in keys if key not in linked] if linked is not None else ())
            if linked is None or not unknown:
                return
            self._store.link(match, unknown)
            _remember(linked, unknown)
        stored = self._store.contains(unknown)
        self.write_behind(
            match,
            [
                each
                for each in known
                if each.block.key in unknown and each.block.key not in stored and each not in self._on_the_way
            ],
        )

    def insert_prefix(self, ids: tuple[int, ...], run: Run, salt: str) -> None:
        """Let others of this salt find `ids`, computed into `run` (which may go on behind them)."""
        self.residents.insert_prefix(ids, run, salt)

    def write_behind(self, match: str, residents: Sequence[Resident]) -> None:
        """Copy blocks to the store after the results of this forward are out; to one that keeps nothing, none."""
        if isinstance(self._store, MemoryStore):
            self._on_the_way.difference_update(residents)
        elif residents:
            for resident in residents:
                self.residents.pin(resident)
            self._on_the_way.update(residents)
            self._num_copying += len(residents)
            self.engine.soon(lambda: self._copy_out(match, residents))

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
                self.residents.unpin(resident)
                self._num_copying -= 1
        if len(residents) > _PERSIST_AT_ONCE:
            self.engine.soon(lambda: self._copy_out(match, residents[_PERSIST_AT_ONCE:]))

    def _copies(self, residents: Sequence[Resident]) -> Sequence[dict[str, torch.Tensor] | None]:
        """Read blocks out of the pool. With no lock held: it may have to wait for another engine's forward."""
        try:
            return self.engine.compute(lambda: [self.pool.read(resident.run) for resident in residents])
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

    def _put_again(self) -> bool:
        refused, self._refused = self._refused, {}
        for resident, match in refused.items():
            if resident.in_table and resident not in self._on_the_way:
                self.write_behind(match, [resident])
        return bool(refused)

    def end(self, placement: Placement) -> None:
        """Give back what a placement holds."""
        if not placement.settled:
            for resident in placement.fresh:
                self._on_the_way.discard(resident)
                self.residents.forget(resident)
        for resident in placement.pinned:
            self.residents.unpin(resident)
        placement.cursor.release()
        self.pool.release(placement.prefix_run)
        self._placements.discard(placement)

    def check(self) -> None:
        """Raise PoolBooksError unless every slot is accounted for."""
        tails = [run for placement in self._placements for run in (placement.prefix_run, *placement.cursor.held())]
        self.pool.check([*self.residents.held(), *tails])


def _remember(known: dict[str, None], keys: Iterable[str]) -> None:
    """Add keys to a set that lets its oldest go."""
    known.update(dict.fromkeys(keys))
    while len(known) > _MAX_KEYS:
        del known[next(iter(known))]
