"""A prompt's blocks placed in the pool: found there, loaded, or about to be encoded by the turn that asks."""

import itertools
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import compress, count
from operator import is_not

from agent_runtime.block_cache.outbox import Outbox, remember
from agent_runtime.block_cache.store import BlockStore
from agent_runtime.block_cache.supply import Claim, Staged, Supply
from agent_runtime.block_cache.views import Views
from agent_runtime.engine.cursor import Cursor
from agent_runtime.engine.errors import EngineClosed
from agent_runtime.engine.positions import Positions
from agent_runtime.engine.runs import EMPTY_RUN, Run, joined
from agent_runtime.engine.scheduler import Engine
from agent_runtime.engine.span import NOTHING, Placed, Span, View
from agent_runtime.residents import Resident, Residents, Standing
from agent_runtime.token_blocks import TokenBlock, TokenPrompt, key_of, name_of
from agent_runtime.turn import BlockUse, Mode

BLOCK_MODES = (Mode.STAR, Mode.ANCHORED)


@dataclass(eq=False, slots=True)
class Placement:
    """One turn's prompt, placed: the cursor behind its static part, and what its first forward has to compute.

    `riding` are the spans of blocks that are encoded in that forward. `lead` are static tokens that the observation's
    span carries itself (`full`: all; `prefix`: what is not resident), `observation` the tokens behind them. `brought`
    says by block key how what was not there came into the pool. `standing` is left to the next turn of the session
    `keep_for`. Engine thread only: `settle` after the forward, `release` at the end, whatever happened.
    """

    cache: "BlockCache"
    match: str
    cursor: Cursor
    lead: tuple[int, ...]
    observation: tuple[int, ...]
    riding: tuple[Span, ...] = ()
    brought: Mapping[str, BlockUse] = field(default_factory=dict)
    num_cached: int = 0
    standing: Standing | None = None
    keep_for: str | None = None
    fresh: tuple[Resident, ...] = ()
    prefix_ids: tuple[int, ...] | None = None
    prefix_run: Run = EMPTY_RUN
    salt: str = ""
    settled: bool = False

    @property
    def uses(self) -> dict[str, BlockUse | None]:
        """Return for every block key how it came into the pool, None for a hit."""
        return {key: self.brought.get(key) for key in (self.standing.found if self.standing else ())}

    @property
    def num_hit(self) -> int:
        """Return how many blocks were simply there."""
        return len(self.standing.found) - len(self.brought) if self.standing else 0

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
        # Sessions that take further turns: a turn that outlives its session leaves nothing behind.
        self._sessions: set[str] = set()
        self._views = Views(positions)
        self._outbox = Outbox(engine, self.pool, self.residents, store)

    # Any thread.

    def fetch(self, mode: Mode, blocks: Sequence[TokenBlock], num_rows: int = 0, keep_for: str | None = None) -> Staged:
        """Find what of `blocks` is not in the pool, and read what is to be loaded. May wait for the disk.

        `num_rows` are the rows that the forward which needs them computes anyway. What still stands of the last turn of
        the session `keep_for` is in the pool, and is not looked up.
        """
        if mode not in BLOCK_MODES:
            return Staged()
        standing = None if keep_for is None else self.residents.kept(keep_for)
        places = None if standing is None else changed_places(standing.blocks, blocks)
        changed = blocks if places is None else [blocks[place] for place in places]
        missing = frozenset(self.residents.missing(changed))
        if not missing:
            return Staged()
        # Two blocks of one text are one: it is read and counted once.
        return self.supply.fetch(list({each.key: each for each in changed if each.key in missing}.values()), num_rows)

    def not_durable(self, mode: Mode, blocks: Sequence[TokenBlock]) -> tuple[str, ...]:
        """Return the names of `blocks` that a crash now would lose."""
        if mode not in BLOCK_MODES:
            return ()
        durable = self._store.durable(map(key_of, blocks))
        return tuple(map(name_of, [block for block in blocks if block.key not in durable] if durable else blocks))

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

    def open_session(self, session: str) -> None:
        """Leave each turn's standing to the next turn of this session, from now on."""
        self._sessions.add(session)

    def forget_session(self, session: str) -> None:
        """Unpin what its last turn left; a turn under way leaves nothing."""
        self._sessions.discard(session)
        with suppress(EngineClosed):  # and nobody needs room any more
            self.engine.soon(lambda: self.residents.let_go(session))

    # The engine's thread.

    def place(
        self, match: str, mode: Mode, prompt: TokenPrompt, staged: Staged, keep_for: str | None = None
    ) -> Placement:
        """Find or make room for a prompt's blocks; the observation's span is made by the caller.

        Turns of an open session `keep_for` leave each other how they stand: only what has changed is placed anew.
        Raises PoolFull when other turns' pins leave too little room; nothing stays taken then.
        """
        if mode in BLOCK_MODES:
            placement = self._place_blocks(match, mode, prompt, staged, keep_for)
        else:
            placement = self._place_chain(match, mode, prompt)
        self._placements.add(placement)
        return placement

    def _place_chain(self, match: str, mode: Mode, prompt: TokenPrompt) -> Placement:
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

    def _place_blocks(
        self, match: str, mode: Mode, prompt: TokenPrompt, staged: Staged, keep_for: str | None
    ) -> Placement:
        self.residents.tick()
        last = self._last_standing(match, mode, keep_for)
        places = None if last is None else changed_places(last.blocks, prompt.blocks)
        found, coming = self._still_there(last, places, prompt.blocks)
        known = self.residents.pin_known(coming)
        found.update(known)
        missing = [block for key, block in coming.items() if key not in known]
        try:
            # Held before there is room made: what is evicted now may want the host's memory that they lie in.
            with self.supply.claimed([block.key for block in missing], staged) as claim:
                # What stood already is linked, unless its match was closed and opened again in the meantime.
                opening = self._outbox.opening(match)
                is_linked = last is not None and last.opening is opening
                linked, known = (list(coming), known) if is_linked else (list(map(key_of, prompt.blocks)), found.copy())
                brought, fresh = self._fill_in(staged, found, missing, claim)
                self._outbox.link(match, linked, known.values())
                self._outbox.write_behind(match, [found[key] for key in claim.loaded])
                self._outbox.expect(fresh)
                residents = _exchanged(last, places, prompt.blocks, found)
                name, view = self._views.of(mode, residents, last, places)
                return Placement(
                    self,
                    match,
                    Cursor(self.pool, view, view.behind, self.residents.acquire),
                    lead=(),
                    observation=prompt.observation,
                    riding=tuple(self._views.spans_of(mode, residents[0], fresh)),
                    brought=brought,
                    num_cached=view.length - sum(resident.run.length for resident in fresh),
                    standing=Standing(match, mode, prompt.blocks, found, residents, name, view, opening),
                    keep_for=keep_for,
                    fresh=tuple(fresh),
                )
        except BaseException:
            # A block that will not be encoded now must not be found by others.
            for block in missing:
                if block.key in found:
                    self._outbox.expect_no_longer(found[block.key])
                    self.residents.forget(found[block.key])
            for resident in found.values():
                self.residents.unpin(resident)
            raise

    def _last_standing(self, match: str, mode: Mode, keep_for: str | None) -> Standing | None:
        """Take what the session's last turn has left, if this turn can go on from there."""
        standing = None if keep_for is None else self.residents.take(keep_for)
        if standing is not None and (standing.match != match or standing.mode is not mode):
            self.residents.unpin_all(standing)
            return None
        return standing

    def _still_there(
        self, last: Standing | None, places: Sequence[int] | None, blocks: Sequence[TokenBlock]
    ) -> tuple[dict[str, Resident], dict[str, TokenBlock]]:
        """Unpin what has gone since `last`, and return by key what has stayed, and the blocks that have come.

        Only the `places` that changed are looked at, or all (None).
        """
        if last is None:
            return {}, {block.key: block for block in blocks}
        old = last.blocks if places is None else [last.blocks[place] for place in places]
        new = blocks if places is None else [blocks[place] for place in places]
        for key in set(map(key_of, old)).difference(map(key_of, new)):
            self.residents.unpin(last.found.pop(key))
        return last.found, {block.key: block for block in new if block.key not in last.found}

    def _fill_in(
        self, staged: Staged, found: dict[str, Resident], missing: Sequence[TokenBlock], claim: Claim
    ) -> tuple[dict[str, BlockUse], list[Resident]]:
        """Add the `missing` blocks to those `found`, each pinned as soon as it is there.

        Returns by key how each comes in, and those that are yet to be encoded.
        """
        self.residents.make_room(sum(len(block.ids) for block in missing))
        brought: dict[str, BlockUse] = {}
        fresh: list[Resident] = []
        loaded: dict[str, Run] = {}
        for block in missing:
            resident = found[block.key] = self.residents.pin(self.residents.add(block))
            if block.key in claim.stored:
                loaded[block.key] = resident.run
                brought[block.key] = BlockUse(block.name, "loaded", len(block.ids), claim.lay[block.key])
            else:
                fresh.append(resident)
                brought[block.key] = BlockUse(block.name, "encoded", len(block.ids), self._why(block.key, staged))
        claim.load(loaded)
        remember(self._seen, [block.key for block in missing])
        return brought, fresh

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
        """Give back what a placement holds, or leave how it stood to the next turn of its session."""
        standing, keep_for = placement.standing, placement.keep_for
        if not placement.settled:
            for resident in placement.fresh:
                self._outbox.expect_no_longer(resident)
                self.residents.forget(resident)
        if standing is not None:
            # With two blocks of one key it is not plain which places that key leaves.
            is_plain = len(standing.found) == len(standing.blocks)
            if placement.settled and is_plain and keep_for is not None and keep_for in self._sessions:
                self.residents.keep(keep_for, standing)
            else:
                self.residents.unpin_all(standing)
        placement.cursor.release()
        self.pool.release(placement.prefix_run)
        self._placements.discard(placement)

    def check(self) -> None:
        """Raise PoolBooksError unless every slot is accounted for, and HostBooksError for the memory behind them."""
        tails = [run for placement in self._placements for run in (placement.prefix_run, *placement.cursor.held())]
        self.pool.check([*self.residents.held(), *tails])
        num_pinned = sum(len(each.standing.found) for each in self._placements if each.standing is not None)
        self.residents.check(num_pinned + self._outbox.num_copying)
        if self.supply.host is not None:
            self.supply.host.check()

    def _evicted(self, blocks: Sequence[Resident]) -> None:
        if self.supply.host is not None:
            self.supply.host.take([(resident.block.key, resident.run) for resident in blocks])


def changed_places(old: Sequence[TokenBlock], new: Sequence[TokenBlock]) -> list[int] | None:
    """Return where other blocks stand than before, None if there are more of them, or fewer."""
    return list(compress(count(), map(is_not, new, old))) if len(old) == len(new) else None


def _exchanged(
    last: Standing | None, places: Sequence[int] | None, blocks: Sequence[TokenBlock], found: Mapping[str, Resident]
) -> tuple[Resident, ...]:
    """Return the residents in the places of their blocks, those of the last time but for the `places` that changed."""
    if last is None or places is None:
        return tuple(map(found.__getitem__, map(key_of, blocks)))
    residents = list(last.residents)
    for place in places:
        residents[place] = found[blocks[place].key]
    return tuple(residents)
