"""What a model's forwards and the copies into its pool take on this machine, measured before the first turn."""

import time
from collections.abc import Callable

import torch

from agent_runtime.block_cache.costs import Rates
from agent_runtime.engine.forward import ForwardRunner
from agent_runtime.engine.host_memory import HostMemory, pinned, plain
from agent_runtime.engine.runs import EMPTY_RUN, Run
from agent_runtime.engine.span import NOTHING, Span
from agent_runtime.engine.staging import Stored

# Rows of the forwards that are timed, in blocks of so many. A slow device is asked for no more than it does in time.
_ROWS, _BLOCK_ROWS = (8, 64, 512), 64
_MOST_S = 0.15
# What is copied at most to see how fast that is.
_COPIED_BYTES = 32 * 2**20
_TIMES = 3


def measure(runner: ForwardRunner) -> Rates:
    """Return the rates of a runner that nobody uses yet, but those of packs. Less than half a second, and no trace.

    Kernels that have to be compiled or captured for forwards of these sizes are, as turns would have to wait for it.
    """
    counted = runner.rows, runner.forwards
    try:
        forward_s, encode_tokens_s = _forwards(runner)
        copy_s, copy_tokens_s = _copies(runner)
    finally:
        runner.rows, runner.forwards = counted
    return Rates(forward_s, encode_tokens_s, copy_s, copy_tokens_s)


def _forwards(runner: ForwardRunner) -> tuple[float, float]:
    """Return the seconds of the smallest forward, and the rows a second of the largest."""
    taken: dict[int, float] = {}
    most = min(runner.pool.num_free, runner.rope.num_positions)
    for rows in dict.fromkeys(min(rows, most) for rows in _ROWS):
        # A forward of more rows takes no longer than as many small ones.
        if taken and rows * min(seconds / done for done, seconds in taken.items()) > _MOST_S:
            break
        taken[rows] = _encoded(runner, rows)
    return taken[min(taken)], max(rows / seconds for rows, seconds in taken.items())


def _encoded(runner: ForwardRunner, rows: int) -> float:
    """Return the seconds of a forward that encodes blocks; the first one may be of a kind that was never met."""
    vocab_size = runner.model.config.get_text_config().vocab_size
    ids = torch.randint(vocab_size, (rows,), generator=torch.Generator().manual_seed(0)).tolist()
    run = runner.pool.acquire(rows)
    try:
        spans = [
            Span(ids[begin : begin + _BLOCK_ROWS], 0, NOTHING, keep=run.part(begin, min(begin + _BLOCK_ROWS, rows)))
            for begin in range(0, rows, _BLOCK_ROWS)
        ]

        def forward() -> None:
            runner.run(spans)
            runner.mark()()

        first = _timed(forward)
        return first if first > _MOST_S and _is_on_cpu(runner) else min(first, _timed(forward))
    finally:
        runner.pool.release(run)


def _copies(runner: ForwardRunner) -> tuple[float, float]:
    """Return the seconds of the smallest copy into the pool, and the tokens a second of a large one."""
    each, free = runner.pool.geometry.bytes_per_token, runner.pool.num_free
    large = max(min(_COPIED_BYTES // each, free), 1)
    small_s, large_s = (_copied(runner, num_tokens) for num_tokens in (1, large))
    if large == 1 or large_s <= small_s:
        return 0.0, large / max(large_s, 1e-9)
    return small_s, (large - 1) / (large_s - small_s)


def _copied(runner: ForwardRunner, num_tokens: int) -> float:
    pool = runner.pool
    num_bytes = num_tokens * pool.geometry.bytes_per_token
    memory = HostMemory(num_bytes + 4096, [plain] if _is_on_cpu(runner) else [pinned, plain])
    pieces, run = memory.acquire(num_bytes), EMPTY_RUN
    assert pieces is not None, "the machine has a few MiB"
    stored = Stored(memory.tensors(pieces, pool.geometry.dtype))
    for piece in stored.pieces:
        piece.zero_()
    run = pool.acquire(num_tokens)
    try:
        return _best(lambda: _load(runner, run, stored))
    finally:
        pool.release(run)


def _load(runner: ForwardRunner, run: Run, stored: Stored) -> None:
    runner.pool.load([(run, stored)])
    runner.mark()()


def _is_on_cpu(runner: ForwardRunner) -> bool:
    return all(device.type == "cpu" for device in runner.pool.geometry.devices)


def _best(work: Callable[[], None]) -> float:
    return min(_timed(work) for _ in range(_TIMES))


def _timed(work: Callable[[], None]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin
