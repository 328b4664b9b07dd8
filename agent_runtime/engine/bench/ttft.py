"""Time to the first token of a turn whose blocks are resident, by kind of world.

The clock runs from new token ids and runs of slots in host memory until the first token's id is in host memory: views,
work lists and copies included. Every turn asks something new. Where blocks change, the view is made of that of the turn
before, as the runtime makes it; at which places they change is known before. Beside it stands what the device alone
takes for the forward of the last turn.

Shapes: V vocabulary.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from agent_runtime.engine.bench.geometry import Bare
from agent_runtime.engine.bench.setting import WARM_UP, Setting, Sizes, causal, figures, in_ms
from agent_runtime.engine.forward import ForwardRunner
from agent_runtime.engine.positions import Positions
from agent_runtime.engine.runs import Run
from agent_runtime.engine.span import NOTHING, Span, exchanged, view_of_blocks

# A block that gave way comes again after so many turns.
_SPARE_EACH = 8


@dataclass(frozen=True, slots=True)
class Case:
    """A world of resident blocks, and what changes in every turn.

    `swapped` blocks give way to others that are resident, `encoded` ones to new ones that the turn encodes. Of several
    sessions each has all blocks in an order of its own, and all ask at once; `asked` is how many tokens, where it is
    not what every turn asks.
    """

    name: str
    num_blocks: int
    block_tokens: int
    swapped: int = 0
    encoded: int = 0
    num_actions: int = 0
    action_tokens: int = 4
    sessions: int = 1
    asked: int | None = None

    @property
    def num_static(self) -> int:
        """Return the static tokens that a turn sees."""
        return self.num_blocks * self.block_tokens

    @property
    def num_spare(self) -> int:
        """Return how many blocks are resident beside those that are seen."""
        return max(self.swapped, self.encoded) * _SPARE_EACH

    def new_tokens(self, observation: int) -> int:
        """Return how many rows a turn computes; `observation` is how many tokens ask where the case does not say."""
        asked = self.sessions * self.num_asked(observation)
        return asked + self.encoded * self.block_tokens + self.num_actions * self.action_tokens * self.sessions

    def num_wanted(self) -> int:
        """Return of how many rows logits are wanted."""
        return self.sessions * (1 + self.num_actions * self.action_tokens)

    def num_asked(self, observation: int) -> int:
        """Return how many tokens each session asks."""
        return observation if self.asked is None else self.asked

    def num_seen(self, observation: int) -> int:
        """Return how many keys all rows together see, themselves among them."""
        asked = self.num_asked(observation)
        action = causal(self.action_tokens) + self.action_tokens * (self.num_static + asked)
        each = causal(asked) + asked * self.num_static + self.num_actions * action
        return self.sessions * each + self.encoded * causal(self.block_tokens)

    @property
    def num_slots(self) -> int:
        """Return the slots that it takes."""
        return (self.num_blocks + self.num_spare) * self.block_tokens

    def slots(self, sizes: Sizes) -> int:
        """Return the slots that it takes, whatever is asked."""
        return self.num_slots

    def positions(self, sizes: Sizes) -> int:
        """Return the positions of a turn and the longest answer."""
        return self.num_static + self.num_asked(sizes.observation) + (self.action_tokens if self.num_actions else 0)

    def measure(self, setting: Setting) -> dict[str, Any]:
        """Time turns, and return the figures, in milliseconds."""
        return _measure(self, setting)


def gamecore(num_blocks: int, block_tokens: int) -> tuple[Case, ...]:
    """Return the turns of a state of so many blocks: nothing changed, two blocks, and one decided among actions."""
    return (
        Case(f"gamecore: {num_blocks} blocks of {block_tokens}", num_blocks, block_tokens),
        Case("gamecore, two changed", num_blocks, block_tokens, encoded=2),
        Case("gamecore, one changed, 16 actions", num_blocks, block_tokens, encoded=1, num_actions=16),
    )


CASES = (
    Case("nothing static", 0, 0),
    Case("512 static", 1, 512),
    Case("8,192 static", 16, 512),
    Case("32,768 static, 32 blocks", 32, 1024),
    Case("32,768 static, 300 blocks", 300, 109),
    Case("32,768 static, 32 blocks, one swapped", 32, 1024, swapped=1),
    *gamecore(300, 85),
    Case("16 turns at once over one world of 32,768", 32, 1024, sessions=16),
    Case("one token over 26,000 static", 100, 260, asked=1),
    Case("one token of each of 64 sessions over one world of 26,000", 100, 260, sessions=64, asked=1),
)


class _World:
    """The blocks of one case in a pool that has room for the turns."""

    def __init__(self, case: Case, bare: Bare, seed: int) -> None:
        self.case, self._pool = case, bare.pool
        self._random = random.Random(seed)
        self._vocab_size = bare.vocab_size
        self._runs = [bare.pool.acquire(case.block_tokens) for _ in range(case.num_blocks)]
        self._spare = [bare.pool.acquire(case.block_tokens) for _ in range(case.num_spare)]
        self._views = [view_of_blocks(self._runs, anchored=False)]
        for _ in range(case.sessions - 1):
            shuffled = self._random.sample(self._runs, len(self._runs))
            self._views.append(view_of_blocks(shuffled, anchored=False))

    def ids(self, count: int) -> list[int]:
        """Return tokens that were not there before."""
        return self._random.choices(range(self._vocab_size), k=count)

    def turn(self, num_asked: int) -> Callable[[], tuple[list[Span], list[Span]]]:
        """Draw the tokens and the blocks of a turn; return what makes its spans of them, and says which are asked."""
        case = self.case
        places = self._random.sample(range(len(self._runs)), max(case.swapped, case.encoded))
        for place in places:
            self._spare.append(self._runs[place])
            self._runs[place] = self._spare.pop(0)
        encoded = [(self.ids(case.block_tokens), self._runs[place]) for place in places[: case.encoded]]
        asked = [self.ids(num_asked) for _ in self._views]
        actions = [[self.ids(case.action_tokens) for _ in range(case.num_actions)] for _ in asked]
        return partial(self._spans, {place: self._runs[place] for place in places}, encoded, asked, actions)

    def _spans(
        self,
        changed: dict[int, Run],
        encoded: list[tuple[list[int], Run]],
        asked: list[list[int]],
        actions: list[list[list[int]]],
    ) -> tuple[list[Span], list[Span]]:
        if changed:  # as the runtime does: of the view of the turn before
            view = exchanged(self._views[0], changed, Positions.SEQUENTIAL)
            self._views = [view or view_of_blocks(self._runs, anchored=False)]
        blocks = [Span(ids, 0, NOTHING, keep=run) for ids, run in encoded]
        asking = [Span(ids, view.behind, view, wanted="last") for ids, view in zip(asked, self._views, strict=True)]
        answers = [
            Span(ids, span.start + len(span.ids), span.view, parent=span, wanted="all")
            for span, some in zip(asking, actions, strict=True)
            for ids in some
        ]
        return [*blocks, *asking, *answers], asking

    def close(self) -> None:
        """Give all slots back."""
        runs: list[Run] = [*self._runs, *self._spare]
        for run in runs:
            self._pool.release(run)


def _measure(case: Case, setting: Setting) -> dict[str, Any]:
    """Time the turns of a case after some that do not count, and return the figures, in milliseconds."""
    bare, observation = setting.bare, setting.sizes.observation
    world = _World(case, bare, seed=1)
    num_asked = case.num_asked(observation)
    try:
        taken = [
            setting.compute(partial(_timed, setting.runner, world.turn(num_asked), setting.device))
            for _ in range(WARM_UP + setting.sizes.turns)
        ][WARM_UP:]
        device_s = setting.compute(partial(setting.runner.device_seconds, setting.sizes.turns))
    finally:
        world.close()
    return {
        "case": case.name,
        "static_tokens": case.num_static,
        "new_tokens": case.new_tokens(observation),
        "turns": setting.sizes.turns,
        **figures(taken, setting.floors.seconds(*_least_work(case, bare, observation))),
        "device_ms": in_ms(device_s),
    }


def _least_work(case: Case, bare: Bare, observation: int) -> tuple[float, float]:
    """Return the bytes that a turn has to move and the operations it has to do, at the least."""
    seen, rows = case.num_seen(observation), case.new_tokens(observation)
    return bare.least_work(rows=rows, wanted=case.num_wanted(), stored=case.num_static, seen=seen)


def _timed(runner: ForwardRunner, turn: Callable[[], tuple[list[Span], list[Span]]], device: torch.device) -> float:
    begin = time.perf_counter()
    spans, asked = turn()
    logits = runner.run(spans)
    tokens = [logits.best(each) for each in asked]
    took = time.perf_counter() - begin
    assert len(tokens) == len(asked)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return took
