"""Memory behind the pool: its books, its budget, and what happens when the machine gives none."""

import logging

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_runtime.engine.errors import HostBooksError
from agent_runtime.engine.host_memory import UNIT_BYTES, HostMemory, Pieces, pinned, plain


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9 * UNIT_BYTES)), max_size=40), st.integers(1, 9))
def test_what_fits_the_budget_is_had_whatever_the_holes_and_keeps_what_is_written(
    moves: list[tuple[bool, int]], slab_units: int
) -> None:
    memory = HostMemory(20 * UNIT_BYTES, [plain], slab_bytes=slab_units * UNIT_BYTES)
    held: list[tuple[Pieces, torch.Tensor]] = []
    for takes, number in moves:
        if takes:
            size = number - number % 4
            used = sum(-(-pieces.num_bytes // UNIT_BYTES) for pieces, _ in held)
            pieces = memory.acquire(size)
            assert (pieces is not None) == (used * UNIT_BYTES + size <= 20 * UNIT_BYTES)
            if pieces is not None:
                data = torch.randn(size // 4)
                parts = memory.tensors(pieces, torch.float32)
                for part, source in zip(parts, data.split([part.numel() for part in parts]), strict=True):
                    part.copy_(source)
                held.append((pieces, data))
        elif held:
            memory.release(held.pop(number % len(held))[0])
        memory.check([pieces for pieces, _ in held])
        for pieces, data in held:
            assert torch.equal(torch.cat([torch.empty(0), *memory.tensors(pieces, torch.float32)]), data)
    assert memory.held_bytes <= memory.most_bytes == 20 * UNIT_BYTES


def test_memory_comes_when_it_is_needed_and_no_sooner() -> None:
    memory = HostMemory(10 * UNIT_BYTES, [plain], slab_bytes=4 * UNIT_BYTES)
    assert memory.held_bytes == 0
    memory.acquire(1)
    assert memory.held_bytes == 4 * UNIT_BYTES
    memory.acquire(9 * UNIT_BYTES)
    assert memory.held_bytes == 10 * UNIT_BYTES and memory.acquire(1) is None


def test_while_the_machine_has_to_keep_what_is_left_no_more_is_taken() -> None:
    spare = [4 * UNIT_BYTES]
    memory = HostMemory(
        9 * UNIT_BYTES, [plain], slab_bytes=4 * UNIT_BYTES, may_take=lambda num_bytes: num_bytes <= spare[0]
    )
    first = memory.acquire(4 * UNIT_BYTES)
    spare[0] = 0
    assert first is not None and memory.acquire(1) is None
    memory.release(first)
    assert memory.acquire(1) is not None, "what was taken before may still be used"
    spare[0] = 4 * UNIT_BYTES
    assert memory.acquire(4 * UNIT_BYTES) is not None and memory.held_bytes == 8 * UNIT_BYTES


def test_a_machine_that_pins_nothing_more_gives_ordinary_memory_and_says_so_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []

    def fickle(size: int) -> torch.Tensor:
        given.append(size)
        if len(given) > 1:
            raise RuntimeError("CUDA error: out of memory\nlong story")
        return plain(size)

    memory = HostMemory(4 * UNIT_BYTES, [fickle, plain], slab_bytes=UNIT_BYTES)
    with caplog.at_level(logging.WARNING):
        assert memory.acquire(4 * UNIT_BYTES) is not None
    (said,) = caplog.messages
    assert len(given) == 2 and "CUDA error: out of memory (0 MiB are held)" in said and "ordinary memory" in said


def test_without_a_gpu_pinning_is_refused_in_words(caplog: pytest.LogCaptureFixture) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine pins")
    memory = HostMemory(UNIT_BYTES, [pinned, plain])
    with caplog.at_level(logging.WARNING):
        assert memory.acquire(5) is not None
    assert "no more pinned memory" in caplog.messages[0] and not memory.is_pinned


def test_a_machine_that_gives_nothing_more_leaves_what_there_is(caplog: pytest.LogCaptureFixture) -> None:
    def none(size: int) -> torch.Tensor:
        raise MemoryError

    memory = HostMemory(4 * UNIT_BYTES, [none])
    with caplog.at_level(logging.WARNING):
        assert memory.acquire(1) is None and memory.acquire(1) is None
    assert len(caplog.messages) == 1 and "--host-cache-mib" in caplog.messages[0]
    nothing = memory.acquire(0)
    assert memory.most_bytes == 0 and nothing is not None and nothing.extents == ()


def test_what_is_held_twice_or_by_nobody_is_found() -> None:
    memory = HostMemory(4 * UNIT_BYTES, [plain])
    pieces = memory.acquire(2 * UNIT_BYTES)
    assert pieces is not None
    memory.check([pieces])
    for holders in ([], [pieces, pieces]):
        with pytest.raises(HostBooksError, match="2 units"):
            memory.check(holders)
