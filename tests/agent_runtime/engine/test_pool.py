"""The pool's books: against a plain model of them, and when they are wrong."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_runtime.engine.errors import PoolBooksError, PoolFull
from agent_runtime.engine.kv_geometry import KVGeometry
from agent_runtime.engine.pool import Pool
from agent_runtime.engine.runs import EMPTY_RUN

GEOMETRY = KVGeometry(2, 4, torch.float32, (torch.device("cpu"),) * 2)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("asrp"), st.integers(0, 40), st.integers(0, 40)), max_size=60))
def test_references_are_always_those_of_the_holders(moves: list[tuple[str, int, int]]) -> None:
    pool, held = Pool(GEOMETRY, 64), [EMPTY_RUN]
    for move, a, b in moves:
        run = held[a % len(held)]
        if move == "a":
            if a > pool.num_free:
                with pytest.raises(PoolFull):
                    pool.acquire(a)
            else:
                held.append(pool.acquire(a))
                assert held[-1].length == a == len(set(held[-1].slots()))
        elif move == "s":
            held.append(pool.share(run))
        elif move == "r":
            pool.release(run)
            held.remove(run)
            held = held or [EMPTY_RUN]
        else:
            start, stop = sorted((a % (run.length + 1), b % (run.length + 1)))
            part = pool.share(run.part(start, stop))
            assert list(part.slots()) == list(run.slots()[start:stop])
            held.append(part)
        pool.check(held)
    for run in held:
        pool.release(run)
    assert pool.num_free == 64
    assert pool.acquire(64).extents == ((0, 64),)


def test_a_lost_or_doubled_reference_is_found() -> None:
    pool = Pool(GEOMETRY, 16)
    run = pool.acquire(5)
    with pytest.raises(PoolBooksError, match="5 pool slots are misbooked"):
        pool.check([])
    with pytest.raises(PoolBooksError):
        pool.check([run, run])


def test_what_was_read_can_be_written_elsewhere_bit_by_bit() -> None:
    pool = Pool(GEOMETRY, 32)
    one, other = pool.acquire(6), pool.acquire(6)
    for tensor in (*pool.keys, *pool.values):
        tensor.normal_()
    stored = pool.read(one)
    assert stored["k"].shape == stored["v"].shape == (2, 6, 2, 4)
    pool.write(other, stored["k"], stored["v"])
    again = pool.read(other)
    assert torch.equal(again["k"], stored["k"])
    assert torch.equal(again["v"], stored["v"])


def test_a_full_pool_says_what_to_do() -> None:
    with pytest.raises(PoolFull, match="--pool-mib"):
        Pool(GEOMETRY, 8).acquire(9)
