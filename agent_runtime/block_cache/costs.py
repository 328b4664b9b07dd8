"""Load or encode: what a turn's missing blocks cost either way, and which way is cheaper for all of them together.

Pure functions of measured rates. A forward takes the time that the device needs to read its weights however few rows
there are, and from some number on the time of its rows: so the first blocks that ride in a turn's forward cost nothing,
and are encoded where that is shorter than the wait for a disk, while the next are loaded. Where a forward takes 6 ms at
the least and 37,000 rows are encoded a second, that is 222 rows. On a CPU every row costs, and nothing is free.

Seconds throughout; a block's size is its tokens, since each takes the same bytes.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Rates:
    """What a machine does with a model: tokens a second, and what something takes however little there is of it.

    `read_tokens_s` None: no pack was read yet. Reading is then taken to cost nothing, so that it is tried.
    """

    forward_s: float
    encode_tokens_s: float
    copy_s: float
    copy_tokens_s: float
    read_s: float = 0.0
    read_tokens_s: float | None = None

    def forward(self, num_rows: int) -> float:
        """Return how long a forward of so many rows takes."""
        return max(self.forward_s, num_rows / self.encode_tokens_s) if num_rows else 0.0

    def load(self, *, host_tokens: int, pack_tokens: int) -> float:
        """Return how long blocks take from the host's memory and from packs into the pool."""
        copied = host_tokens + pack_tokens
        taken = self.copy_s + copied / self.copy_tokens_s if copied else 0.0
        if pack_tokens and self.read_tokens_s is not None:
            taken += self.read_s + pack_tokens / self.read_tokens_s
        return taken


@dataclass(frozen=True, slots=True)
class Missing:
    """A block that is not in the pool, and where it lies; None: it has to be encoded whatever that costs."""

    key: str
    num_tokens: int
    lies: Literal["host", "pack"] | None


def to_encode(missing: Sequence[Missing], rates: Rates, num_rows: int = 0) -> frozenset[str]:
    """Return the keys of blocks that could be loaded and are better encoded.

    They ride in a forward that computes `num_rows` rows anyway, beside the blocks that lie nowhere. They are taken in
    one order, packs before the host's memory and small ones first, as many as make the sum of all that is waited for
    smallest: of blocks of one size no other choice is better, and of any no worse than to load all, or none.
    """
    rows = num_rows + sum(block.num_tokens for block in missing if block.lies is None)
    order = sorted(
        (block for block in missing if block.lies is not None),
        key=lambda block: (block.lies == "host", block.num_tokens),
    )
    left = {lies: sum(block.num_tokens for block in order if block.lies == lies) for lies in ("host", "pack")}
    best, best_count = rates.forward(rows) + rates.load(host_tokens=left["host"], pack_tokens=left["pack"]), 0
    for count, block in enumerate(order, 1):
        rows += block.num_tokens
        left[str(block.lies)] -= block.num_tokens
        taken = rates.forward(rows) + rates.load(host_tokens=left["host"], pack_tokens=left["pack"])
        if taken < best:
            best, best_count = taken, count
    return frozenset(block.key for block in itertools.islice(order, best_count))


def break_even_read_tokens_s(rates: Rates) -> float:
    """Return how fast packs have to be read for loading many blocks to be as quick as encoding them.

    Infinite where even copying them takes longer.
    """
    seconds_each = 1 / rates.encode_tokens_s - 1 / rates.copy_tokens_s
    return 1 / seconds_each if seconds_each > 0 else float("inf")
