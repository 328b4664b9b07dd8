"""A prompt's blocks placed in the pool: found there, loaded, or about to be encoded by the turn that asks."""

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agent_runtime.block_cache.outbox import Outbox, remember
from agent_runtime.block_cache.store import BlockStore
from agent_runtime.block_cache.supply import Claim, Staged, Supply
from agent_runtime.block_cache.views import Views
from agent_runtime.engine.cursor import Cursor
from agent_runtime.engine.pool import EMPTY_RUN, Run, joined
from agent_runtime.engine.positions import Positions
from agent_runtime.engine.scheduler import Engine
from agent_runtime.engine.span import NOTHING, Placed, Span, View
from agent_runtime.residents import Resident, Residents
from agent_runtime.token_blocks import TokenBlock, TokenPrompt
from agent_runtime.turn import BlockUse, Mode

BLOCK_MODES = (Mode.STAR, Mode.ANCHORED)


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

    def __init__(
        self,
        engine: Engine,
        store: BlockStore,
        positions: Positions = Positions.SEQUENTIAL,
        supply: Supply | None = None,
    ) -> None:
        """Place blocks in an engine's pool. Without a `supply`, all that the store has is loaded."""
        self.engine = engine
        self.pool = engine.runner.pool
        self.supply = supply or Supply(self.pool, store)
        self.residents = Residents(self.pool, self._evicted)
        self._store = store
        self._placements: set[Placement] = set()
        self._seen: dict[str, None] = {}
        self._views = Views(positions)
        self._outbox = Outbox(engine, self.pool, self.residents, store)

    # Any thread.

    def fetch(self, mode: Mode, blocks: Sequence[TokenBlock], num_rows: int = 0) -> Staged:
        """Find what of `blocks` is not in the pool, and read what is to be loaded. May wait for the disk.

        `num_rows` are the rows that the forward which needs them computes anyway.
        """
        missing = frozenset(self.residents.missing(blocks) if mode in BLOCK_MODES else ())
        # Two blocks of one text are one: it is read and counted once.
        asked = {block.key: block for block in blocks if block.key in missing}
        return self.supply.fetch(list(asked.values()), num_rows) if asked else Staged()

    def not_durable(self, mode: Mode, blocks: Sequence[TokenBlock]) -> tuple[str, ...]:
        """Return the names of `blocks` that a crash now would lose."""
        if mode not in BLOCK_MODES:
            return ()
        durable = self._store.durable([block.key for block in blocks])
        return tuple([block.name for block in blocks if block.key not in durable])

    def written_behind(self, timeout_s: float) -> None:
        """Return when all that was encoded so far is in the store's hands. Raises TimeoutError."""
        deadline = time.perf_counter() + timeout_s
        while self.engine.ask(lambda: self._outbox.num_copying, max(0.0, deadline - time.perf_counter())):
            pass

    def put_again(self, timeout_s: float) -> bool:
        """Give the store once more what it had no room for; False when there is nothing of that kind."""
        return self.engine.ask(self._outbox.put_again, timeout_s)

    def open_match(self, match: str) -> None:
        """Keep blocks for a match from now on. Those of a match that is not open are computed and not kept."""
        self._outbox.open_match(match)

    def forget_match(self, match: str) -> None:
        """Keep nothing for a match any more, and let the store forget it; a turn under way links nothing afterwards.

        What is resident stays as long as there is room.
        """
        self._outbox.forget_match(match)

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
            # Held before there is room made: what is evicted now may want the host's memory that they lie in.
            with self.supply.claimed([block.key for block in missing], staged) as claim:
                return self._fill_in(match, mode, prompt, staged, found, missing, claim)
        except BaseException:
            # A block that will not be encoded now must not be found by others.
            for block in missing:
                if block.key in found:
                    self._outbox.expect_no_longer(found[block.key])
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
        claim: Claim,
    ) -> Placement:
        """Add the `missing` blocks to those `found`, each pinned as soon as it is there."""
        self.residents.make_room(sum(len(block.ids) for block in missing))
        known = list(found.values())
        uses: dict[str, BlockUse | None] = dict.fromkeys(found)
        fresh: list[Resident] = []
        loaded: dict[str, Resident] = {}
        for block in missing:
            resident = found[block.key] = self.residents.pin(self.residents.add(block))
            if block.key in claim.stored:
                loaded[block.key] = resident
                uses[block.key] = BlockUse(block.name, "loaded", len(block.ids), claim.lay[block.key])
            else:
                fresh.append(resident)
                uses[block.key] = BlockUse(block.name, "encoded", len(block.ids), self._why(block.key, staged))
        claim.load({key: resident.run for key, resident in loaded.items()})
        remember(self._seen, [block.key for block in missing])
        self._outbox.link(match, found, known)
        self._outbox.write_behind(match, list(loaded.values()))
        self._outbox.expect(fresh)
        residents = [found[block.key] for block in prompt.blocks]
        view = self._views.of(mode, residents)
        return Placement(
            self,
            match,
            Cursor(self.pool, view, view.behind, self.residents.acquire),
            lead=(),
            observation=prompt.observation,
            riding=tuple(self._views.spans_of(mode, residents[0], fresh)),
            uses=uses,
            num_cached=view.length - sum(resident.run.length for resident in fresh),
            pinned=tuple(found.values()),
            fresh=tuple(fresh),
        )

    def _why(self, key: str, staged: Staged) -> str:
        """Return why a block has to be encoded."""
        if key in staged.encode:
            return self.supply.why_encoded
        if key not in self._seen:
            return "new"
        return "left the pool and is not in the store" if key in staged.asked else "left the pool as its turn waited"

    def insert_prefix(self, ids: tuple[int, ...], run: Run, salt: str) -> None:
        """Let others of this salt find `ids`, computed into `run` (which may go on behind them)."""
        self.residents.insert_prefix(ids, run, salt)

    def write_behind(self, match: str, residents: Sequence[Resident]) -> None:
        """Copy blocks to the store, those it lacks, after the results of this forward are out."""
        self._outbox.write_behind(match, residents)

    def end(self, placement: Placement) -> None:
        """Give back what a placement holds."""
        if not placement.settled:
            for resident in placement.fresh:
                self._outbox.expect_no_longer(resident)
                self.residents.forget(resident)
        for resident in placement.pinned:
            self.residents.unpin(resident)
        placement.cursor.release()
        self.pool.release(placement.prefix_run)
        self._placements.discard(placement)

    def check(self) -> None:
        """Raise PoolBooksError unless every slot is accounted for, and HostBooksError for the memory behind them."""
        tails = [run for placement in self._placements for run in (placement.prefix_run, *placement.cursor.held())]
        self.pool.check([*self.residents.held(), *tails])
        if self.supply.host is not None:
            self.supply.host.check()

    def _evicted(self, blocks: Sequence[Resident]) -> None:
        if self.supply.host is not None:
            self.supply.host.take([(resident.block.key, resident.run) for resident in blocks])
