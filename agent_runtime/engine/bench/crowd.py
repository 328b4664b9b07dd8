"""One turn of each of many sessions, asked in one moment: what that takes, and takes at the least."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from agent_runtime.engine.bench.setting import Setting, causal
from agent_runtime.engine.scheduler import Engine, Script

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Round:
    """The seconds of a round, and what the model was given in it."""

    seconds: float
    rows: int
    forwards: int

    def report(self, num_turns: int, num_asked: int) -> dict[str, Any]:
        """Return the figures of a JSON report; what was computed beside what was asked had to be encoded."""
        return {
            "turns_s": round(num_turns / self.seconds, 2),
            "forwards": self.forwards,
            "rows_per_forward": round(self.rows / self.forwards, 1),
            "encoded_tokens": self.rows - num_asked,
        }


def answered(engine: Engine, scripts: Sequence[Script[T]]) -> tuple[list[T], Round]:
    """Return what scripts that are handed in together return, all of them, and what the round took."""
    rows, forwards = engine.runner.rows, engine.runner.forwards
    begin = time.perf_counter()
    results = [work.future.result() for work in engine.submit_together(scripts)]
    seconds = time.perf_counter() - begin
    return results, Round(seconds, engine.runner.rows - rows, engine.runner.forwards - forwards)


def least_seconds(setting: Setting, sessions: int, *, shared: int, own: int, seen: int) -> float:
    """Return what a round takes at the least in forwards of up to `max_rows` rows.

    Of `seen` static tokens each session has `own` ones alone; all sessions together see `shared` others.
    """
    sizes, asked = setting.sizes, setting.sizes.observation
    most = -(-sizes.max_rows // asked)  # turns join a forward that has fewer rows
    seconds = 0.0
    for first in range(0, sessions, most):
        turns = min(most, sessions - first)
        keys = turns * (causal(asked) + asked * seen)
        stored = shared + turns * own
        work = setting.bare.least_work(rows=turns * asked, wanted=turns, stored=stored, seen=keys)
        seconds += setting.floors.seconds(*work)
    return seconds
