"""How large the kernels' tiles are and how many programs run beside each other, by dtype and size of heads.

A multiprocessor of an H100 or H200 gives programs 227 KiB of shared memory and 65,536 registers, at most 255 a thread;
a program that needs more memory is not launched at all, one that needs more registers waits for memory instead.
`tests/agent_runtime/engine/gpu/test_tiling.py` compiles every kernel for that GPU, without having one, and reads both.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch

# A multiprocessor's shared memory, of which the system takes 1 KiB for every program.
SHARED_BYTES = 227 * 1024


@dataclass(frozen=True, slots=True)
class Tile:
    """How one kernel is compiled: query rows (rows of the forward times query heads of a key head) and keys of a tile,
    warps of 32 threads, and how many tiles of keys are on their way. A multiprocessor runs `programs` at once.
    """

    rows: int
    keys: int
    warps: int
    stages: int
    programs: int


class Tiling(NamedTuple):
    """A tile for few rows (as when tokens are decoded), one for more, and one for what is read without moving keys."""

    narrow: Tile
    wide: Tile
    shared: Tile


# By the largest half of a head that they are for. Tensor cores multiply 16-bit numbers; a tile of 128 query rows reads
# and moves every key half as often as one of 64 (50 rows of 4 query heads to a key head: 2 times, not 4).
# With two stages a program waits for a tile of keys as soon as it has asked for it; with three, one is on its way while
# another is attended.
_HALVES = {
    32: Tiling(Tile(16, 64, 4, 3, 3), Tile(128, 64, 8, 3, 1), Tile(128, 64, 8, 3, 1)),
    48: Tiling(Tile(16, 32, 4, 3, 2), Tile(128, 64, 8, 3, 1), Tile(128, 64, 8, 3, 1)),
    64: Tiling(Tile(16, 64, 4, 3, 2), Tile(128, 64, 8, 3, 1), Tile(128, 64, 8, 3, 1)),
    128: Tiling(Tile(16, 32, 8, 3, 1), Tile(64, 16, 8, 3, 1), Tile(64, 64, 8, 2, 1)),
}
# Products of float32 are exact, without tensor cores, and their tiles lie in registers.
_SINGLES = {
    32: Tiling(Tile(16, 32, 4, 2, 3), Tile(32, 32, 8, 2, 1), Tile(32, 32, 8, 2, 2)),
    64: Tiling(Tile(16, 32, 4, 2, 2), Tile(32, 32, 8, 2, 1), Tile(32, 32, 8, 2, 2)),
    128: Tiling(Tile(16, 16, 8, 2, 1), Tile(16, 16, 8, 2, 1), Tile(16, 16, 8, 2, 1)),
}
LARGEST_HEAD = 2 * max(_HALVES)


def tiling_of(dtype: torch.dtype, head_dim: int) -> Tiling:
    """Return the tiles of heads of up to `LARGEST_HEAD`. Raises ValueError for larger ones."""
    tilings = _SINGLES if dtype.itemsize > 2 else _HALVES
    for half, tiling in tilings.items():
        if head_dim <= 2 * half:
            return tiling
    raise ValueError(f"heads have {head_dim} dimensions, and the kernels do up to {LARGEST_HEAD}")
