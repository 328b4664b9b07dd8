"""A cold start: all blocks of a session encoded, until the last of them can be seen."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from agent_runtime.engine.bench.floors import synchronize
from agent_runtime.engine.bench.regions import Regions
from agent_runtime.engine.bench.scripts import encoding, pieces
from agent_runtime.engine.bench.setting import Setting, Sizes, causal, figures
from agent_runtime.engine.scheduler import Engine
from agent_runtime.engine.span import Span


@dataclass(frozen=True, slots=True)
class ColdStart:
    """Blocks that see themselves alone, brought behind all turns, or in packed forwards one after the other.

    `scheduler` hands them to an engine's thread in the pieces in which sessions' blocks come, `forwards` calls the
    runner with as many as `quiet_rows` hold.
    """

    name: str
    through: Literal["scheduler", "forwards"]
    num_blocks: int = 300
    block_tokens: int = 85
    times: int = 5

    def slots(self, sizes: Sizes) -> int:
        """Return the slots of the blocks."""
        return self.num_blocks * self.block_tokens

    def positions(self, sizes: Sizes) -> int:
        """Return the positions of one block."""
        return self.block_tokens

    def measure(self, setting: Setting) -> dict[str, Any]:
        """Time it `times` times after once that does not count."""
        world = Regions(setting.bare, self.num_blocks, self.block_tokens)
        try:
            if self.through == "forwards":
                return self._measured(setting, world, lambda spans: _by_forwards(setting, spans))
            engine = setting.engine()
            try:
                return self._measured(setting, world, lambda spans: _by_scheduler(engine, spans))
            finally:
                engine.close()
        finally:
            world.close()

    def _measured(self, setting: Setting, world: Regions, encode: Callable[[Sequence[Span]], None]) -> dict[str, Any]:
        taken = []
        rows, forwards = [], []
        for _ in range(1 + self.times):
            spans = world.encoding(world.runs)
            before = setting.runner.rows, setting.runner.forwards
            synchronize(setting.device)
            begin = time.perf_counter()
            encode(spans)
            synchronize(setting.device)
            taken.append(time.perf_counter() - begin)
            rows.append(setting.runner.rows - before[0])
            forwards.append(setting.runner.forwards - before[1])
        num_rows = self.num_blocks * self.block_tokens
        seen = self.num_blocks * causal(self.block_tokens)
        num_bytes, operations = setting.bare.least_work(rows=num_rows, wanted=0, stored=0, seen=seen)
        found = figures(taken[1:], setting.floors.seconds(num_bytes, operations))
        rate = operations / (1e-3 * found["median_ms"])
        return {
            "case": self.name,
            "blocks": self.num_blocks,
            "block_tokens": self.block_tokens,
            "times": self.times,
            "rows": rows[-1],
            "forwards": forwards[-1],
            "rows_per_forward": round(rows[-1] / forwards[-1], 1),
            **found,
            "TFLOP_s": round(rate / 1e12, 3),
            "share_of_matmul": round(rate / setting.floors.matmul_FLOP_s, 3),
        }


def _by_forwards(setting: Setting, spans: Sequence[Span]) -> None:
    for piece in pieces(spans, setting.sizes.quiet_rows):
        setting.compute(partial(setting.runner.run, piece))


def _by_scheduler(engine: Engine, spans: Sequence[Span]) -> None:
    for work in [engine.submit(encoding(piece), background=True) for piece in pieces(spans)]:
        work.future.result()


CASES = (
    ColdStart("cold start: through the scheduler", "scheduler"),
    ColdStart("cold start: one packed forward after the other", "forwards"),
)
