"""Turns a second of many sessions of one world, each of which sees something new; and the same by prefix reuse.

A turn's observation comes behind regions of which one gives way to another, all of them resident. With ordinary prefix
reuse everything behind the first change is computed again: `prefix` is that, in the same engine.
"""

import statistics
from dataclasses import dataclass
from functools import partial
from typing import Any

from agent_runtime.engine.bench.crowd import answered, least_seconds
from agent_runtime.engine.bench.regions import Regions
from agent_runtime.engine.bench.scripts import first_token
from agent_runtime.engine.bench.setting import Setting, Sizes, causal, figures
from agent_runtime.engine.runs import Run
from agent_runtime.engine.scheduler import Engine, Script
from agent_runtime.engine.span import NOTHING, Placed, Span, View, view_of_blocks


@dataclass(frozen=True, slots=True)
class Throughput:
    """Sessions that see `num_seen` of a world's regions, each in an order of its own, and all ask at once."""

    name: str
    sessions: int = 256
    num_regions: int = 100
    num_seen: int = 90
    region_tokens: int = 289
    rounds: int = 3
    prefix_turns: int = 6

    @property
    def num_static(self) -> int:
        """Return the static tokens that a turn sees."""
        return self.num_seen * self.region_tokens

    def slots(self, sizes: Sizes) -> int:
        """Return the slots of the world, or of a whole prompt and one computed again, if those are more."""
        return max(self.num_regions * self.region_tokens, 2 * self.num_static + sizes.observation)

    def positions(self, sizes: Sizes) -> int:
        """Return the positions of a turn."""
        return self.num_static + sizes.observation

    def measure(self, setting: Setting) -> dict[str, Any]:
        """Time rounds after one that does not count, and turns by prefix reuse after one that does not."""
        engine = setting.engine()
        try:
            found = self._by_blocks(setting, engine)
            prefix = self._by_prefix(setting, engine)
        finally:
            engine.close()
        ratio = round(found["turns_s"] / prefix["turns_s"], 2)
        return {
            "case": self.name,
            "static_tokens": self.num_static,
            **found,
            "prefix": prefix,
            "ratio_to_prefix": ratio,
        }

    def _by_blocks(self, setting: Setting, engine: Engine) -> dict[str, Any]:
        world = Regions(setting.bare, self.num_regions, self.region_tokens)
        pool, asked = setting.bare.pool, setting.sizes.observation
        try:
            orders = [world.order() for _ in range(self.sessions)]
            rounds = []
            for _ in range(1 + self.rounds):
                for order in orders:
                    world.swap(order, self.num_seen)
                seen = [partial(view_of_blocks, order[: self.num_seen], anchored=False) for order in orders]
                turns = [first_token(pool, each, world.ids(asked)) for each in seen]
                rounds.append(answered(engine, turns)[1])
        finally:
            world.close()
        taken = [each.seconds for each in rounds[1:]]
        shared = self.num_regions * self.region_tokens
        floor = least_seconds(setting, self.sessions, shared=shared, own=0, seen=self.num_static)
        typical = sorted(rounds[1:], key=lambda each: each.seconds)[(len(taken) - 1) // 2]
        return {
            "sessions": self.sessions,
            "rounds": self.rounds,
            **typical.report(self.sessions, self.sessions * asked),
            "turns_s": round(self.sessions / statistics.median(taken), 2),
            **figures(taken, floor),
        }

    def _by_prefix(self, setting: Setting, engine: Engine) -> dict[str, Any]:
        pool, asked = setting.bare.pool, setting.sizes.observation
        world = Regions(setting.bare, 0, 0)
        prompt = pool.acquire(self.num_static)
        taken, computed, floors = [], [], []
        try:
            # The first change lies anywhere with equal chances: places evenly apart stand for all.
            places = [int((number + 0.5) * self.num_seen / self.prefix_turns) for number in range(self.prefix_turns)]
            for place in [places[-1], *places]:
                start = place * self.region_tokens
                count = self.num_static - start + asked
                _, done = answered(engine, [_behind(setting, prompt, start, world.ids(count))])
                work = setting.bare.least_work(rows=count, wanted=1, stored=start, seen=causal(count) + count * start)
                taken.append(done.seconds)
                computed.append(done.rows)
                floors.append(setting.floors.seconds(*work))
        finally:
            pool.release(prompt)
        return {
            "turns": self.prefix_turns,
            "computed_tokens": round(statistics.mean(computed[1:])),
            "turns_s": round(self.prefix_turns / sum(taken[1:]), 4),
            **figures(taken[1:], statistics.median(floors[1:])),
        }


def _behind(setting: Setting, prompt: Run, start: int, ids: list[int]) -> Script[int]:
    """Compute a prompt from `start` on, behind what is resident of it, and keep it; returns the first token."""
    pool = setting.bare.pool
    view = View((Placed(prompt.part(0, start), 0),)) if start else NOTHING
    run = pool.acquire(len(ids))
    try:
        span = Span(ids, start, view, keep=run, wanted="last")
        logits = yield [span]
        return logits.best(span)
    finally:
        pool.release(run)


CASES = (Throughput("throughput: one region of many swapped in every turn"),)
