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
    warps of 32 threads, and for how many tiles of keys there is room. A multiprocessor runs `programs` at once.

    `is_specialised`: the kernel is the one whose warps are specialised (`specialised.py`).
    """

    rows: int
    keys: int
    warps: int
    stages: int
    programs: int
    is_specialised: bool = False


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
# Four warps bring keys and rotate them, twice four attend. Attention over 300 blocks of 85 tokens took 77.5 us a layer
# and 117.1 by the tile above, over 32 of 1,024 tokens 96.8 and 145.7 (H100, 50 rows; entering and merging included).
_SPECIALISED_HEAD, _SPECIALISED = 128, Tile(128, 64, 12, 4, 1, is_specialised=True)
MOST_PER_GROUP = _SPECIALISED.rows
"""How many query heads to a key head that kernel can have: its tiles have as many query rows, and no more."""


def tiling_of(dtype: torch.dtype, head_dim: int, *, specialised: bool = False) -> Tiling:
    """Return the tiles of heads of up to `LARGEST_HEAD`; `specialised` where a GPU can specialise warps.

    Raises ValueError for larger heads.
    """
    if specialised and dtype.itemsize == 2 and head_dim == _SPECIALISED_HEAD:
        return _HALVES[head_dim // 2]._replace(wide=_SPECIALISED)
    tilings = _SINGLES if dtype.itemsize > 2 else _HALVES
    for half, tiling in tilings.items():
        if head_dim <= 2 * half:
            return tiling
    raise ValueError(f"heads have {head_dim} dimensions, and the kernels do up to {LARGEST_HEAD}")
