"""Latency of a session's turns, which come at a steady rate, alone and while another session starts cold.

A turn's time runs from its submission until its first token is in the hands of the thread that asked.
"""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from agent_runtime.engine.bench.regions import Regions
from agent_runtime.engine.bench.scripts import encoding, first_token, pieces
from agent_runtime.engine.bench.setting import WARM_UP, Setting, Sizes, causal, figures
from agent_runtime.engine.scheduler import Engine
from agent_runtime.engine.span import view_of_blocks

# Beside a cold start forwards of more kinds are met for the first time.
_WARM_UP_BESIDE = 4 * WARM_UP


@dataclass(frozen=True, slots=True)
class Load:
    """Turns at `hz` a second over blocks that are resident; cold starts of as many blocks follow each other."""

    name: str
    hz: float = 10.0
    num_blocks: int = 300
    block_tokens: int = 85

    @property
    def num_static(self) -> int:
        """Return the static tokens that a turn sees, and a cold start encodes."""
        return self.num_blocks * self.block_tokens

    def slots(self, sizes: Sizes) -> int:
        """Return the slots of both sessions' blocks."""
        return 2 * self.num_static

    def positions(self, sizes: Sizes) -> int:
        """Return the positions of a turn."""
        return self.num_static + sizes.observation

    def measure(self, setting: Setting) -> dict[str, Any]:
        """Time turns alone and beside cold starts, both behind some that do not count."""
        seen, cold = (Regions(setting.bare, self.num_blocks, self.block_tokens, seed=seed) for seed in (1, 2))
        asked, turns, engine = setting.sizes.observation, setting.sizes.turns, setting.engine()
        turn_after_turn = _Turns(setting, engine, seen, self.hz)
        try:
            with _ColdStarts(engine, cold):
                turn_after_turn.taken_s(_WARM_UP_BESIDE)
            alone = turn_after_turn.taken_s(WARM_UP + turns)[WARM_UP:]
            with _ColdStarts(engine, cold) as cold_starts:
                beside = turn_after_turn.taken_s(turns)
        finally:
            engine.close()
            seen.close()
            cold.close()
        num_seen = causal(asked) + asked * self.num_static
        work = setting.bare.least_work(rows=asked, wanted=1, stored=self.num_static, seen=num_seen)
        floor = setting.floors.seconds(*work)
        found, found_beside = figures(alone, floor), figures(beside, floor)
        return {
            "case": self.name,
            "hz": self.hz,
            "static_tokens": self.num_static,
            "turns": turns,
            **found,
            "beside_cold_start": found_beside,
            "p99_more_ms": round(found_beside["p99_ms"] - found["p99_ms"], 3),
            "cold_starts": len(cold_starts.taken_s),
            "cold_start_ms": round(1e3 * max(cold_starts.taken_s), 3),
        }


class _Turns:
    """A session that asks when its next frame is there, or at once if that is past."""

    def __init__(self, setting: Setting, engine: Engine, world: Regions, hz: float) -> None:
        self._engine, self._world, self._hz = engine, world, hz
        self._view = view_of_blocks(world.runs, anchored=False)
        self._asks = partial(first_token, setting.bare.pool, lambda: self._view)
        self._num_asked = setting.sizes.observation

    def taken_s(self, count: int) -> list[float]:
        """Return the seconds of every turn."""
        first, taken = time.perf_counter(), []
        for number in range(count):
            time.sleep(max(0.0, first + number / self._hz - time.perf_counter()))
            turn = self._asks(self._world.ids(self._num_asked))
            begin = time.perf_counter()
            self._engine.submit(turn, deadline=begin + 1 / self._hz).future.result()
            taken.append(time.perf_counter() - begin)
        return taken


class _ColdStarts:
    """Cold starts one after the other on a thread of their own, the first begun on entry; the last ends on exit."""

    def __init__(self, engine: Engine, world: Regions) -> None:
        self.taken_s: list[float] = []
        self._engine, self._pieces = engine, pieces(world.encoding(world.runs))
        self._begun, self._stop = threading.Event(), threading.Event()
        self._thread = ThreadPoolExecutor(1, "cold starts")

    def __enter__(self) -> "_ColdStarts":
        self._running = self._thread.submit(self._run)
        self._begun.wait()
        return self

    def __exit__(self, *raised: object) -> None:
        self._stop.set()
        self._thread.shutdown()
        self._running.result()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                begin = time.perf_counter()
                works = [self._engine.submit(encoding(piece), background=True) for piece in self._pieces]
                self._begun.set()
                for work in works:
                    work.future.result()
                self.taken_s.append(time.perf_counter() - begin)
        finally:
            self._begun.set()


CASES = (Load("load: a session at a steady rate, alone and beside cold starts"),)
