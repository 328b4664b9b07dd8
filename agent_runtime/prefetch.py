"""Blocks brought into the pool while no turn waits: what a session will see, and each finished turn as history.

A turn that comes first takes them along in its own forward, so prompts and results never depend on this.
"""

import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import wait
from dataclasses import dataclass

from agent_runtime.block_cache import BLOCK_MODES, BlockCache, Tensors
from agent_runtime.engine.scheduler import Script, Work
from agent_runtime.token_blocks import TokenBlock, TokenPrompt
from agent_runtime.turn import BlockUse, Ledger, Mode

# Work is cut into pieces of about this many rows: a turn waits for one of them at most.
BACKGROUND_ROWS = 256


@dataclass(frozen=True, slots=True)
class Brought:
    """How many tokens of some blocks were encoded, loaded from the store, or resident already."""

    encoded: int
    loaded: int
    shared: int


class Prefetcher:
    """Any thread. `ledger` counts what it costs, apart from all turns."""

    def __init__(self, cache: BlockCache) -> None:
        self.ledger = Ledger()
        self._cache = cache
        self._under_way: set[Work[None]] = set()
        self._lock = threading.Lock()

    def bring(
        self,
        match: str,
        mode: Mode,
        blocks: Sequence[TokenBlock],
        ready: Callable[[Brought], None] = lambda brought: None,
    ) -> None:
        """Bring `blocks` (the anchor first) into the pool behind all turns.

        `ready` is called at the end, on the engine's thread. `full` reuses nothing, so nothing is done for it.
        """
        uses: dict[str, BlockUse | None] = {}
        if mode is Mode.FULL:
            scripts = []
        elif mode in BLOCK_MODES:
            staged = self._cache.fetch(mode, blocks)
            scripts = [self._script(match, mode, piece, staged, uses) for piece in _pieces(blocks)]
        else:
            scripts = [self._script(match, mode, beginning, {}, {}) for beginning in _beginnings(blocks)]
        with self._lock:
            works = [self._cache.engine.submit(script, background=True) for script in scripts]
            self._under_way.update(works)
        left = len(works)

        def one_ended(work: Work[None]) -> None:
            nonlocal left
            with self._lock:
                self._under_way.discard(work)
            self.ledger.rows += work.rows
            self.ledger.forwards += work.forwards
            left -= 1
            if left == 0:
                ready(_count(uses, blocks) if mode in BLOCK_MODES else _of_prefix(works, blocks))

        for work in works:
            work.future.add_done_callback(lambda _, work=work: one_ended(work))  # type: ignore[misc]
        if not works:
            self._cache.engine.soon(lambda: ready(_count(uses, blocks)))

    def finish(self, timeout_s: float) -> None:
        """Return when all that was asked for so far is resident, or after `timeout_s`."""
        with self._lock:
            works = list(self._under_way)
        wait([work.future for work in works], timeout_s)

    def _script(
        self,
        match: str,
        mode: Mode,
        blocks: Sequence[TokenBlock],
        staged: Mapping[str, Tensors],
        uses: dict[str, BlockUse | None],
    ) -> Script[None]:
        prompt = TokenPrompt(tuple(blocks), (), sum(len(block.ids) for block in blocks))
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


def _pieces(blocks: Sequence[TokenBlock]) -> list[list[TokenBlock]]:
    """Cut blocks into pieces of about BACKGROUND_ROWS tokens, each with the anchor in front."""
    pieces = [[blocks[0]]]
    rows = len(blocks[0].ids)
    for block in blocks[1:]:
        if rows >= BACKGROUND_ROWS:
            pieces.append([blocks[0]])
            rows = 0
        pieces[-1].append(block)
        rows += len(block.ids)
    return pieces


def _beginnings(blocks: Sequence[TokenBlock]) -> list[Sequence[TokenBlock]]:
    """Return growing beginnings of the prompt, each about BACKGROUND_ROWS tokens longer than the one before."""
    ends = itertools.accumulate(len(block.ids) for block in blocks)
    stops, done = [], 0
    for index, end in enumerate(ends):
        if end - done >= BACKGROUND_ROWS or index == len(blocks) - 1:
            stops.append(index + 1)
            done = end
    return [blocks[:stop] for stop in stops]


def _of_prefix(works: Sequence[Work[None]], blocks: Sequence[TokenBlock]) -> Brought:
    """In `prefix` nothing is loaded, and what had no row was found."""
    encoded = sum(work.rows for work in works)
    return Brought(encoded, 0, sum(len(block.ids) for block in blocks) - encoded)


def _count(uses: Mapping[str, BlockUse | None], blocks: Sequence[TokenBlock]) -> Brought:
    tokens = {"encoded": 0, "loaded": 0, "shared": 0}
    for block in {block.key: block for block in blocks}.values():
        use = uses.get(block.key)
        tokens[use.how if use else "shared"] += len(block.ids)
    return Brought(**tokens)
