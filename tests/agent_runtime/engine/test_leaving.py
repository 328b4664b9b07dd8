"""Blocks out of the pool into the host's memory: here on a CPU, where copies are one behind the other."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_runtime.engine.host_memory import UNIT_BYTES, HostMemory, plain
from agent_runtime.engine.kv_geometry import KVGeometry
from agent_runtime.engine.leaving import Leaving
from agent_runtime.engine.pool import Pool
from agent_runtime.engine.staging import Stored

GEOMETRY = KVGeometry(3, 20, torch.float32, (torch.device("cpu"),) * 3)  # 1,440 bytes a token: no unit holds three


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=7), st.integers(1, 12), st.integers(1, 4))
def test_what_left_comes_back_into_other_slots_bit_by_bit(
    lengths: list[int], buffer_tokens: int, slab_units: int
) -> None:
    pool = Pool(GEOMETRY, 128)
    for layer in (*pool.keys, *pool.values):
        layer.normal_()
    taken = [pool.acquire(length) for length in (3, *lengths)]
    runs = taken[1:]
    before = [pool.read(run) for run in runs]
    memory = HostMemory(100 * UNIT_BYTES, [plain], slab_bytes=slab_units * UNIT_BYTES)
    rooms = []
    for run in runs:
        pieces = memory.acquire(run.length * GEOMETRY.bytes_per_token)
        assert pieces is not None
        rooms.append(memory.tensors(pieces, GEOMETRY.dtype))
    leaving = Leaving(pool.keys, pool.values, buffer_tokens * GEOMETRY.bytes_per_token)
    leaving.save([(run.slots(), room) for run, room in zip(runs, rooms, strict=True)])
    for layer in (*pool.keys, *pool.values):
        layer.zero_()
    for run in taken:
        pool.release(run)
    again = [pool.acquire(length) for length in lengths]
    pool.load([(run, Stored(room)) for run, room in zip(again, rooms, strict=True)])
    for run, old in zip(again, before, strict=True):
        new = pool.read(run)
        assert torch.equal(new["k"], old["k"]) and torch.equal(new["v"], old["v"])
