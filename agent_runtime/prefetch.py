"""Blocks brought into the pool while no turn waits: what a session will see, and each finished turn as history.

A turn that comes first takes them along in its own forward, so prompts and results never depend on this.
"""

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass

from agent_runtime.block_cache import BLOCK_MODES, BlockCache, Staged
from agent_runtime.engine.errors import EngineClosed
from agent_runtime.engine.scheduler import BACKGROUND_ROWS, Engine, Script
from agent_runtime.token_blocks import TokenBlock, TokenPrompt
from agent_runtime.turn import BlockUse, Ledger, Mode


@dataclass(frozen=True, slots=True)
class Brought:
    """How many tokens of some blocks were encoded, loaded from the store, or resident already."""

    encoded: int
    loaded: int
    shared: int


class Prefetcher:
    """Any thread. `ledger` counts what it costs, apart from all turns."""

    def __init__(self, cache: BlockCache, context_limit: int) -> None:
        self._context_limit = context_limit
        self.ledger = Ledger()
        self._cache = cache
        self._under_way: set[_Run] = set()
        self._lock = threading.Lock()

    def bring(
        self,
        match: str,
        mode: Mode,
        blocks: Sequence[TokenBlock],
        ready: Callable[[Brought], None] = lambda brought: None,
        *,
        salt: str,
    ) -> None:
        """Bring `blocks` (the anchor first) into the pool behind all turns, for prompts of this `salt`.

        `ready` is called at the end, on the engine's thread. `full` reuses nothing, so nothing is done for it; nor is
        anything for what goes beyond the model's context, which the turn that needs it will say.
        """
        uses: dict[str, BlockUse | None] = {}
        scripts: list[Script[None]] = []
        beginnings: list[Sequence[TokenBlock]] = []
        if mode in BLOCK_MODES:
            staged = self._cache.fetch(mode, blocks)
            pieces = _pieces(_possible(mode, blocks, self._context_limit))
            scripts = [self._script(match, mode, piece, staged, uses, salt) for piece in pieces]
        elif mode is Mode.PREFIX:
            beginnings = _beginnings(blocks, self._context_limit)
            scripts = [self._script(match, mode, beginning, Staged(), {}, salt) for beginning in beginnings]
        if not scripts:
            self._cache.engine.soon(lambda: ready(_count(uses, blocks)))
            return

        def ended(run: _Run) -> None:
            with self._lock:
                self.ledger.rows += run.rows
                self.ledger.forwards += run.forwards
            try:
                ready(_count(uses, blocks) if mode in BLOCK_MODES else _of_prefix(run.rows, beginnings[-1]))
            finally:
                with self._lock:
                    self._under_way.discard(run)

        # Pieces of blocks need not wait for each other. Of a prompt's beginnings each goes on where the last one ended.
        run = _Run(self._cache.engine, scripts, at_once=len(scripts) if mode in BLOCK_MODES else 1, on_end=ended)
        with self._lock:
            self._under_way.add(run)
        run.start()

    def finish(self, timeout_s: float) -> None:
        """Return when all that was asked for so far is resident, or after `timeout_s`."""
        with self._lock:
            under_way = list(self._under_way)
        wait([run.ended for run in under_way], timeout_s)

    def _script(
        self,
        match: str,
        mode: Mode,
        blocks: Sequence[TokenBlock],
        staged: Staged,
        uses: dict[str, BlockUse | None],
        salt: str,
    ) -> Script[None]:
        prompt = TokenPrompt(tuple(blocks), (), sum(len(block.ids) for block in blocks), salt)
        placement = self._cache.place(match, mode, prompt, staged)
        try:
            for key, use in placement.uses.items():
                uses.setdefault(key, use)
            spans = list(placement.riding)
            # In `prefix` the last token of what is resident already is not worth a forward.
            if len(placement.lead) + len(placement.observation) > 1:
                spans.append(placement.cursor.extend(placement.lead + placement.observation, wanted="none"))
            if spans:
                yield spans
                placement.settle()
        finally:
            placement.release()


class _Run:
    """Background scripts of one caller, `at_once` of them in the queue at a time; `on_end` is called after the last."""

    def __init__(
        self, engine: Engine, scripts: Iterable[Script[None]], *, at_once: int, on_end: Callable[["_Run"], None]
    ) -> None:
        self.rows = self.forwards = 0
        self.ended: Future[None] = Future()
        self._engine = engine
        self._waiting = deque(scripts)
        self._num_left = len(self._waiting)
        self._at_once = at_once
        self._on_end = on_end
        self._lock = threading.Lock()

    def start(self) -> None:
        for _ in range(self._at_once):
            self._submit_next()

    def _submit_next(self) -> None:
        with self._lock:
            if not self._waiting:
                return
            script = self._waiting.popleft()
        try:
            work = self._engine.submit(script, background=True)
        except EngineClosed:
            with self._lock:
                num_refused = 1 + len(self._waiting)
                self._waiting.clear()
            self._some_ended(num_refused, 0, 0)
        else:
            work.future.add_done_callback(lambda _: self._some_ended(1, work.rows, work.forwards))

    def _some_ended(self, count: int, rows: int, forwards: int) -> None:
        with self._lock:
            self.rows += rows
            self.forwards += forwards
            self._num_left -= count
            is_last = self._num_left == 0
        if not is_last:
            self._submit_next()
            return
        try:
            self._on_end(self)
        finally:
            self.ended.set_result(None)


def _pieces(blocks: Sequence[TokenBlock]) -> list[list[TokenBlock]]:
    """Cut blocks into pieces of at most BACKGROUND_ROWS tokens or one block, each with the anchor in front."""
    if not blocks:
        return []
    pieces = [[blocks[0]]]
    rows = len(blocks[0].ids)
    for block in blocks[1:]:
        if rows and rows + len(block.ids) > BACKGROUND_ROWS:
            pieces.append([blocks[0]])
            rows = 0
        pieces[-1].append(block)
        rows += len(block.ids)
    return pieces


def _possible(mode: Mode, blocks: Sequence[TokenBlock], limit: int) -> Sequence[TokenBlock]:
    """Return the blocks that can be encoded at all within the model's context, none if the anchor cannot."""
    before = len(blocks[0].ids) if mode is Mode.ANCHORED else 0
    if len(blocks[0].ids) > limit:
        return ()
    return [blocks[0], *[block for block in blocks[1:] if before + len(block.ids) <= limit]]


def _beginnings(blocks: Sequence[TokenBlock], limit: int) -> list[Sequence[TokenBlock]]:
    """Return growing beginnings of the prompt up to `limit`, each about BACKGROUND_ROWS tokens longer than the last."""
    ends = itertools.accumulate(len(block.ids) for block in blocks)
    stops, done = [], 0
    for index, end in enumerate(ends):
        if end > limit:
            break
        if end - done >= BACKGROUND_ROWS or index == len(blocks) - 1:
            stops.append(index + 1)
            done = end
    return [blocks[:stop] for stop in stops]


def _of_prefix(num_encoded: int, blocks: Sequence[TokenBlock]) -> Brought:
    """In `prefix` nothing is loaded, and what had no row was found."""
    return Brought(num_encoded, 0, sum(len(block.ids) for block in blocks) - num_encoded)


def _count(uses: Mapping[str, BlockUse | None], blocks: Sequence[TokenBlock]) -> Brought:
    tokens = {"encoded": 0, "loaded": 0, "shared": 0}
    for block in {block.key: block for block in blocks}.values():
        if block.key in uses:  # or its piece has failed
            use = uses[block.key]
            tokens[use.how if use else "shared"] += len(block.ids)
    return Brought(**tokens)
