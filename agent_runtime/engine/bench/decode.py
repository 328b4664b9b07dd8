"""A decode step: one token of each of many sessions over one world, beside the same step of one session alone."""

import time
from dataclasses import dataclass
from typing import Any

from agent_runtime.engine.bench.regions import Regions
from agent_runtime.engine.bench.setting import WARM_UP, Setting, Sizes, causal, figures, in_pages
from agent_runtime.engine.cursor import PAGE_TOKENS, Cursor
from agent_runtime.engine.span import view_of_blocks


@dataclass(frozen=True, slots=True)
class Decode:
    """Sessions that see all regions, each in an order of its own, and behind them what it was asked and has said."""

    name: str
    sessions: int = 64
    num_regions: int = 100
    region_tokens: int = 260

    def slots(self, sizes: Sizes) -> int:
        """Return the slots of the world and of all tails."""
        tail = in_pages(sizes.observation) + in_pages(WARM_UP + sizes.turns) + PAGE_TOKENS
        return self.num_regions * self.region_tokens + self.sessions * tail

    def positions(self, sizes: Sizes) -> int:
        """Return the positions of the world, what is asked, and what is said."""
        return self.num_regions * self.region_tokens + sizes.observation + WARM_UP + sizes.turns

    def measure(self, setting: Setting) -> dict[str, Any]:
        """Time the steps of all sessions, and those of one."""
        one, all_sessions = (self._measured(setting, count) for count in (1, self.sessions))
        return {
            "case": self.name,
            "sessions": self.sessions,
            "static_tokens": self.num_regions * self.region_tokens,
            "turns": setting.sizes.turns,
            **all_sessions,
            "one": one,
            "ratio_to_one": round(all_sessions["median_ms"] / one["median_ms"], 3),
        }

    def _measured(self, setting: Setting, count: int) -> dict[str, float]:
        pool, sizes = setting.bare.pool, setting.sizes
        world = Regions(setting.bare, self.num_regions, self.region_tokens)
        views = [view_of_blocks(world.order(), anchored=False) for _ in range(count)]
        cursors = [Cursor(pool, view, view.behind) for view in views]

        def stepped(asked: list[list[int]]) -> list[int]:
            return setting.compute(lambda: _step(setting, cursors, asked))

        try:
            said = stepped([world.ids(sizes.observation) for _ in cursors])
            taken = []
            for _ in range(WARM_UP + sizes.turns):
                begin = time.perf_counter()
                said = stepped([[token] for token in said])
                taken.append(time.perf_counter() - begin)
        finally:
            for cursor in cursors:
                cursor.release()
            world.close()
        static, tail = self.num_regions * self.region_tokens, sizes.observation + WARM_UP + sizes.turns // 2
        work = setting.bare.least_work(
            rows=count, wanted=count, stored=static + count * tail, seen=count * (static + tail + causal(1))
        )
        return figures(taken[WARM_UP:], setting.floors.seconds(*work))


def _step(setting: Setting, cursors: list[Cursor], asked: list[list[int]]) -> list[int]:
    """Return every session's next token, which is on the host then."""
    spans = [cursor.extend(ids) for cursor, ids in zip(cursors, asked, strict=True)]
    logits = setting.runner.run(spans)
    return [logits.best(span) for span in spans]


CASES = (Decode("decode: a step of many sessions over one world, beside one alone"),)
