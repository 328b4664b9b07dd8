"""A whole turn that ends in text: one block changed, and tokens sampled one by one, each among those a mask allows.

As under a JSON Schema, a token is drawn on the device among those whose bits a grammar has set, which come from the
host for each. Tokens that a grammar leaves no choice about are none of these. The clock runs from the submission to the
scheduler until the last token is in the hands of the thread that asked.
"""

import random
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy
import torch

from agent_runtime.engine.bench.regions import Regions
from agent_runtime.engine.bench.setting import WARM_UP, Setting, Sizes, causal, figures, in_pages
from agent_runtime.engine.cursor import Cursor
from agent_runtime.engine.decoding import Generated, Sampler, generate
from agent_runtime.engine.pool import Pool
from agent_runtime.engine.runs import Run
from agent_runtime.engine.scheduler import Script
from agent_runtime.engine.span import Span, view_of_blocks
from agent_runtime.engine.token_mask import allowed_of

# A block that gave way comes again after so many turns.
_SPARE = 8
# The mask says when it is enough.
_NO_LIMIT = 2**31


@dataclass(frozen=True, slots=True)
class Sampled:
    """Turns over a state of which one block is new in each, with so many tokens sampled behind the observation."""

    name: str
    num_blocks: int
    block_tokens: int
    num_sampled: int = 16

    @property
    def num_static(self) -> int:
        """Return the static tokens that a turn sees."""
        return self.num_blocks * self.block_tokens

    def slots(self, sizes: Sizes) -> int:
        """Return the slots of the blocks, seen or not, and of what a turn says."""
        return (self.num_blocks + _SPARE) * self.block_tokens + in_pages(sizes.observation + self.num_sampled)

    def positions(self, sizes: Sizes) -> int:
        """Return the positions of a turn."""
        return self.num_static + sizes.observation + self.num_sampled

    def measure(self, setting: Setting) -> dict[str, Any]:
        """Time turns behind some that do not count."""
        world = Regions(setting.bare, self.num_blocks + _SPARE, self.block_tokens)
        seen, spare = world.runs[: self.num_blocks], deque(world.runs[self.num_blocks :])
        drawn, engine, taken = random.Random(2), setting.engine(), []
        try:
            for turn in range(WARM_UP + setting.sizes.turns):
                place = drawn.randrange(self.num_blocks)
                spare.append(seen[place])
                seen[place] = spare.popleft()
                [block] = world.encoding([seen[place]])
                ids, mask = world.ids(setting.sizes.observation), self._mask(setting, turn)
                begin = time.perf_counter()
                script = _turn(setting.bare.pool, seen, block, ids, mask, Sampler(1.0, turn))
                made = engine.submit(script).future.result()
                taken.append(time.perf_counter() - begin)
                assert len(made.ids) == self.num_sampled and made.ended
        finally:
            engine.close()
            world.close()
        return {
            "case": self.name,
            "static_tokens": self.num_static,
            "new_tokens": setting.sizes.observation + self.block_tokens + self.num_sampled,
            "turns": setting.sizes.turns,
            **figures(taken[WARM_UP:], self._floor_s(setting)),
        }

    def _mask(self, setting: Setting, turn: int) -> "_Bits":
        return _Bits(turn, self.num_sampled, setting.bare.vocab_size, setting.device)

    def _floor_s(self, setting: Setting) -> float:
        """Return the seconds of all forwards at the least; the last token that is sampled needs none."""
        asked, static, bare = setting.sizes.observation, self.num_static, setting.bare
        seen = causal(asked) + asked * static + causal(self.block_tokens)
        works = [bare.least_work(rows=asked + self.block_tokens, wanted=1, stored=static, seen=seen)]
        for said in range(1, self.num_sampled):
            behind = static + asked + said
            works.append(bare.least_work(rows=1, wanted=1, stored=behind, seen=behind + 1))
        return sum(setting.floors.seconds(*work) for work in works)


class _Bits:
    """A mask that lets through any half of the vocabulary, another one for every token, and ends behind `limit`."""

    def __init__(self, seed: int, limit: int, vocab_size: int, device: torch.device) -> None:
        self._random = numpy.random.default_rng(seed)
        self._left, self._vocab_size, self._device = limit, vocab_size, device

    @property
    def finished(self) -> bool:
        """Return whether all tokens are there."""
        return self._left == 0

    def forced(self) -> Sequence[int]:
        """Return no token: there is always a choice."""
        return ()

    def allowed(self) -> torch.Tensor:
        """Return which tokens may come next."""
        bits = self._random.integers(0, 256, -(-self._vocab_size // 8), dtype=numpy.uint8)
        bits[0] |= 1  # one at the least, however small a vocabulary is
        return allowed_of(bits, self._vocab_size, self._device)

    def advance(self, token: int) -> None:
        """Take one token."""
        self._left -= 1


def _turn(
    pool: Pool, seen: Sequence[Run], block: Span, ids: Sequence[int], mask: _Bits, choose: Sampler
) -> Script[Generated]:
    """Encode `block` and ask `ids` in one forward, then sample as many tokens as the mask lets through."""
    view = view_of_blocks(seen, anchored=False)
    cursor = Cursor(pool, view, view.behind)
    try:
        asked = cursor.extend(ids)
        logits = yield [block, asked]
        return (yield from generate(cursor, logits[asked][-1], limit=_NO_LIMIT, stop_ids=(), choose=choose, mask=mask))
    finally:
        cursor.release()


def sampled(num_blocks: int, block_tokens: int) -> Sampled:
    """Return the case of a state of so many blocks."""
    return Sampled("gamecore, one changed, 16 tokens sampled under a mask", num_blocks, block_tokens)


CASES = (sampled(300, 85),)
