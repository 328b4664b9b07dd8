"""How many sessions are resident: as many as the pool holds, each with an order of its own and a sheet of its own.

All are opened, then each has a turn a round, in any order. What stands in the pool is real: sessions that are drawn are
opened once more, each alone in a pool that was wiped, and their logits have to be the same.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from agent_runtime.engine.bench.crowd import Round, answered, least_seconds
from agent_runtime.engine.bench.floors import synchronize
from agent_runtime.engine.bench.regions import Regions
from agent_runtime.engine.bench.scripts import last_logits, pieces
from agent_runtime.engine.bench.setting import Setting, Sizes, figures
from agent_runtime.engine.likeness import distances
from agent_runtime.engine.pool import Pool
from agent_runtime.engine.runs import Run, joined
from agent_runtime.engine.scheduler import Engine, Script
from agent_runtime.engine.span import NOTHING, Span, View, view_of_blocks

_GIB = 2**30


@dataclass(frozen=True, slots=True)
class _Session:
    """What a session sees, by number of the region, its sheet, and what it asks last."""

    order: list[int]
    sheet: list[int]
    asked: list[int]


@dataclass(frozen=True, slots=True)
class Capacity:
    """`sessions` are at least opened; a pool that is larger holds more."""

    name: str
    sessions: int = 1000
    num_regions: int = 100
    num_seen: int = 90
    region_tokens: int = 289
    sheet_tokens: int = 300
    rounds: int = 2
    checked: int = 20

    def slots(self, sizes: Sizes) -> int:
        """Return the slots of the world and of the sheets."""
        return self.num_regions * self.region_tokens + self.sessions * self.sheet_tokens

    def positions(self, sizes: Sizes) -> int:
        """Return the positions of what a session sees and asks."""
        return self.num_seen * self.region_tokens + self.sheet_tokens + sizes.observation

    def measure(self, setting: Setting) -> dict[str, Any]:
        """Open all, have rounds of turns, reconcile the books, and open some alone. Raises PoolBooksError."""
        pool, engine = setting.bare.pool, setting.engine()
        try:
            crowd = _Crowd(self, setting)
            opened_s = crowd.open()
            pool.check(crowd.held)
            before = _fingerprint(pool, crowd.held)
            rounds = [crowd.turns(engine) for _ in range(self.rounds)]
            is_unchanged = _fingerprint(pool, crowd.held) == before
            pool.check(crowd.held)
            difference, of_another = crowd.differences(engine)
        finally:
            engine.close()
        count, asked = len(crowd.sessions), setting.sizes.observation
        visible = self.num_seen * self.region_tokens + self.sheet_tokens
        shared = self.num_regions * self.region_tokens
        floor = least_seconds(setting, count, shared=shared, own=self.sheet_tokens, seen=visible)
        is_gpu = setting.device.type == "cuda"
        return {
            "case": self.name,
            "sessions": count,
            "visible_tokens": visible,
            "pool_GiB": round(pool.num_slots * pool.geometry.bytes_per_token / _GIB, 3),
            "sessions_if_each_had_a_copy": pool.num_slots // visible,
            "open_s": round(opened_s, 3),
            "open_tokens_s": round(joined(crowd.held).length / opened_s, 1),
            "rounds": [each.report(count, count * asked) for each in rounds],
            "static_unchanged": is_unchanged,
            "books_balance": True,
            "checked_sessions": len(crowd.drawn),
            "largest_distance": difference,
            "limit": setting.limit,
            "distance_of_another": of_another,
            "agrees": difference <= setting.limit and (of_another is None or difference < of_another),
            "peak_reserved_GiB": round(torch.cuda.max_memory_reserved(setting.device) / _GIB, 2) if is_gpu else None,
            **figures([each.seconds for each in rounds], floor),
        }


class _Crowd:
    """All sessions that a pool holds beside the tails of one forward's turns."""

    def __init__(self, case: Capacity, setting: Setting) -> None:
        self._setting, self._pool = setting, setting.bare.pool
        self._world = world = Regions(setting.bare, case.num_regions, case.region_tokens)
        self._regions = [world.ids(case.region_tokens) for _ in world.runs]
        count = (self._pool.num_free - setting.sizes.tail_slots) // case.sheet_tokens
        self.sessions = [
            _Session(
                world.shuffled(case.num_regions)[: case.num_seen],
                world.ids(case.sheet_tokens),
                world.ids(setting.sizes.observation),
            )
            for _ in range(count)
        ]
        self.drawn = world.shuffled(count)[: case.checked]
        self._sheets = [self._pool.acquire(case.sheet_tokens) for _ in self.sessions]
        self._found: dict[int, torch.Tensor] = {}

    @property
    def held(self) -> list[Run]:
        """Return every run that is held, for the pool's books."""
        return [*self._world.runs, *self._sheets]

    def open(self) -> float:
        """Encode the world and every sheet; returns the seconds."""
        begin = time.perf_counter()
        self._encode(self.held, [*self._regions, *[session.sheet for session in self.sessions]])
        return time.perf_counter() - begin

    def _encode(self, runs: Sequence[Run], ids: Sequence[list[int]]) -> None:
        spans = [Span(tokens, 0, NOTHING, keep=run) for tokens, run in zip(ids, runs, strict=True)]
        for piece in pieces(spans, self._setting.sizes.quiet_rows):
            self._setting.compute(partial(self._setting.runner.run, piece))
        synchronize(self._setting.device)

    def turns(self, engine: Engine) -> Round:
        """Have every session ask, in any order; what those that are drawn are answered is kept."""
        numbers = self._world.shuffled(len(self.sessions))
        logits, done = answered(engine, [self._turn(number) for number in numbers])
        self._found = {number: each for number, each in zip(numbers, logits, strict=True) if number in self.drawn}
        return done

    def _turn(self, number: int) -> Script[torch.Tensor]:
        session, sheet = self.sessions[number], self._sheets[number]
        seen = partial(_view, [*[self._world.runs[region] for region in session.order], sheet])
        return _on_host(last_logits(self._pool, seen, session.asked), keeps=number in self.drawn)

    def differences(self, engine: Engine) -> tuple[float, float | None]:
        """Give all slots back, and return how far logits are from those of a session that is alone in the pool.

        The second figure is how far two such sessions are from each other, if there are two: what is to be told apart.
        """
        for sheet in self._sheets:
            self._pool.release(sheet)
        self._world.close()
        alone = {number: self._alone(engine, number) for number in self.drawn}
        found_NV, alone_NV = (torch.stack([each[number] for number in self.drawn]) for each in (self._found, alone))
        of_another = float(distances(alone_NV.roll(1, 0), alone_NV).min()) if len(alone_NV) > 1 else None
        return float(distances(found_NV, alone_NV).max()), of_another

    def _alone(self, engine: Engine, number: int) -> torch.Tensor:
        for layer in (*self._pool.keys, *self._pool.values):
            layer.zero_()
        session = self.sessions[number]
        ids = [*[self._regions[region] for region in session.order], session.sheet]
        runs = [self._pool.acquire(len(each)) for each in ids]
        try:
            self._encode(runs, ids)
            turn = _on_host(last_logits(self._pool, partial(_view, runs), session.asked), keeps=True)
            [logits_V] = answered(engine, [turn])[0]
            return logits_V
        finally:
            for run in runs:
                self._pool.release(run)


def _view(runs: Sequence[Run]) -> View:
    return view_of_blocks(runs, anchored=False)


def _on_host(turn: Script[torch.Tensor], *, keeps: bool) -> Script[torch.Tensor]:
    """Have a turn return its first token on the host, as any does, or all logits if it `keeps` them."""
    logits_V = yield from turn
    return logits_V.cpu() if keeps else logits_V.argmax().cpu()


def _fingerprint(pool: Pool, runs: Sequence[Run]) -> list[int]:
    """Return a sum of each layer's keys and values in some slots, bit by bit."""
    bits = {2: torch.int16, 4: torch.int32}[pool.geometry.dtype.itemsize]
    extents = joined(runs).extents
    sums = [
        layer[first : first + count].view(bits).sum(dtype=torch.int64)
        for layer in (*pool.keys, *pool.values)
        for first, count in extents
    ]
    return [int(each) for each in torch.stack(sums).tolist()]


CASES = (Capacity("capacity: sessions resident, and two turns of each"),)
