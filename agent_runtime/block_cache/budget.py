"""How much of the host's memory blocks may take that leave the pool: as asked for, else a share of what is free."""

import logging
import math
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from agent_runtime.block_cache.host_tier import HostTier
from agent_runtime.engine.containers import memory_limits
from agent_runtime.engine.host_memory import HostMemory, pinned, plain
from agent_runtime.engine.pool import Pool

_log = logging.getLogger(__name__)

# Pinned memory is nobody else's any more: the larger part stays to the system, which keeps packs in it.
_SHARE = 4

# Asking takes a tenth of a millisecond, and each of hundreds of blocks that leave a pool together may ask.
_ASK_AGAIN_S = 1.0


def free_bytes(root: Path = Path("/")) -> int:
    """Return the memory that this process could take now: the machine's, or its container's if that is less."""
    return min([int(psutil.virtual_memory().available), *(each.free_bytes for each in memory_limits(root))])


def open_host_tier(name: str, pool: Pool, asked_mib: int | None) -> HostTier | None:
    """Return the tier behind a model's pool, and say once how large it may become.

    None asked for is a quarter of the free memory where all layers lie on one NVIDIA GPU, and nothing elsewhere: on a
    CPU the pool lies in the same memory, and layers on several GPUs would have to wait for every block that leaves. As
    much stays free then: several models, and several servers on one machine, each take a quarter of the same memory.
    """
    is_one_gpu = pool.geometry.is_on_one_gpu
    if asked_mib is None:
        budget_bytes = free_bytes() // _SHARE if is_one_gpu else 0
    else:
        budget_bytes = asked_mib * 2**20
    if budget_bytes < pool.geometry.bytes_per_token:
        return None
    ways = [pinned, plain] if is_one_gpu else [plain]
    if asked_mib is None:
        memory = HostMemory(budget_bytes, ways, may_take=_leaving(budget_bytes))
    else:
        memory = HostMemory(budget_bytes, ways)
    kind = "pinned host memory" if is_one_gpu else "host memory"
    why = "a quarter of what is free; --host-cache-mib says otherwise" if asked_mib is None else "as asked"
    _log.info(
        "model %r keeps blocks that leave its pool in up to %.1f GiB of %s (%s)", name, budget_bytes / 2**30, kind, why
    )
    return HostTier(pool, memory, keeps_loaded=is_one_gpu)


def _leaving(spare_bytes: int) -> Callable[[int], bool]:
    """Return what says whether so many bytes may be taken, if `spare_bytes` are to stay free."""
    refused_at = -math.inf

    def may_take(num_bytes: int) -> bool:
        nonlocal refused_at
        if time.monotonic() - refused_at < _ASK_AGAIN_S:
            return False
        is_spare = free_bytes() - num_bytes >= spare_bytes
        if not is_spare:
            refused_at = time.monotonic()
        return is_spare

    return may_take
