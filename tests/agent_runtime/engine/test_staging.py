"""Stored blocks on their way to their slots: here on a CPU, where copies and scatters are one behind the other."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_runtime.engine.kv_geometry import KVGeometry
from agent_runtime.engine.pool import Pool
from agent_runtime.engine.runs import Run
from agent_runtime.engine.scattering import TorchScattering
from agent_runtime.engine.staging import Staging, Stored, halves, stored_of

GEOMETRY = KVGeometry(2, 4, torch.float32, (torch.device("cpu"),) * 3)
# Keys and values of one token in all layers.
TOKEN_BYTES = GEOMETRY.bytes_per_token


def pools() -> tuple[Pool, Pool]:
    return Pool(GEOMETRY, 64), Pool(GEOMETRY, 64)


def blocks_of(pool: Pool, lengths: list[int]) -> list[tuple[Run, torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [
        (pool.acquire(length), *torch.randn((2, 3, length, 2, 4), generator=generator).unbind()) for length in lengths
    ]


def in_slots(blocks: list[tuple[Run, torch.Tensor, torch.Tensor]]) -> list[tuple[numpy.ndarray, Stored]]:
    return [(run.slots(), stored_of(k, v)) for run, k, v in blocks]


def assert_equal(one: Pool, other: Pool) -> None:
    for left, right in zip((*one.keys, *one.values), (*other.keys, *other.values), strict=True):
        assert torch.equal(left, right)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 9), max_size=7), st.integers(0, 20))
def test_what_goes_by_buffers_lies_where_it_lies_layer_by_layer(lengths: list[int], buffer_tokens: int) -> None:
    pool, other = pools()
    blocks = blocks_of(pool, lengths)
    Staging(pool.keys, pool.values, buffer_tokens * TOKEN_BYTES).write(in_slots(blocks))
    other.write_all(blocks)
    assert_equal(pool, other)


def test_a_run_in_pieces_and_numbers_of_another_kind_are_written_too() -> None:
    pool, other = pools()
    first, _, third = (pool.acquire(4) for _ in range(3))
    run = Run((*third.extents, *first.extents), 8)
    k, v = torch.randn((2, 3, 8, 2, 4)).bfloat16().unbind()
    Staging(pool.keys, pool.values).write([(run.slots(), stored_of(k, v))])
    other.write(run, k, v)
    assert_equal(pool, other)
    assert torch.equal(pool.keys[2][torch.from_numpy(run.slots())], k[2].float())


class _Scattering(TorchScattering):
    """Says what is planned, and what is scattered."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool.keys, pool.values)
        self.said: list[str] = []

    def plan(self, slots: Any, parts: Any) -> Any:
        self.said.append(f"plan {len(slots)}")
        planned = super().plan(slots, parts)
        write = planned.write

        def say(first: int, stop: int) -> None:
            self.said.append(f"scatter {first} to {stop}")
            write(first, stop)

        planned.write = say  # type: ignore[method-assign]
        return planned


class _Watched(Staging):
    """Says what happens in which order: a copy into a buffer, a scatter out of it, and who waits for whom."""

    def __init__(self, pool: Pool, tokens: int) -> None:
        self.scattering = _Scattering(pool)
        super().__init__(pool.keys, pool.values, tokens * TOKEN_BYTES, scattering=self.scattering)
        self.said = self.scattering.said

    def _on_the_way(self) -> AbstractContextManager[Any]:
        self.said.append("beside")
        return nullcontext()

    def _sent_off(self) -> Any:
        self.said.append("copied")
        return f"copy {self.said.count('copied')}"

    def _arrive(self, event: Any) -> None:
        self.said.append(f"wait for {event}")

    def _mark(self) -> Any:
        return f"scatter {sum(said.startswith('scatter') for said in self.said)}"

    def _wait(self, event: Any) -> None:
        if event is not None:
            self.said.append(f"wait for {event}")


def test_slots_are_written_behind_the_copies_and_a_buffer_is_filled_again_behind_its_scatter() -> None:
    pool, _ = pools()
    watched = _Watched(pool, 4)
    watched.write(in_slots(blocks_of(pool, [4, 4, 4])))
    assert watched.said == [
        "beside",
        *("beside", "plan 3", "copied"),
        *("beside", "copied"),  # on its way before the host scatters what came before
        *("wait for copy 1", "scatter 0 to 1"),
        *("beside", "wait for scatter 1", "copied"),
        *("wait for copy 2", "scatter 1 to 2"),
        *("wait for copy 3", "scatter 2 to 3"),
        *("beside", "wait for scatter 3"),
    ]


@pytest.mark.parametrize(("lengths", "scatters"), [([], 0), ([0], 0), ([3, 3, 3, 3], 2), ([9, 1], 2)])
def test_blocks_are_scattered_together_as_many_as_a_buffer_holds(lengths: list[int], scatters: int) -> None:
    pool, _ = pools()
    watched = _Watched(pool, 6)
    watched.write(in_slots(blocks_of(pool, lengths)))
    assert sum(each.startswith("scatter") for each in watched.said) == scatters


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=7), st.integers(1, 20), st.data())
def test_blocks_in_any_pieces_and_blocks_that_were_sent_lie_where_others_lie(
    lengths: list[tuple[int, bool]], buffer_tokens: int, data: st.DataObject
) -> None:
    pool, other = pools()
    blocks = blocks_of(pool, [length for length, _ in lengths])
    staging = Staging(pool.keys, pool.values, buffer_tokens * TOKEN_BYTES)
    on_the_way = []
    for (run, k, v), (_, is_sent) in zip(blocks, lengths, strict=True):
        whole = torch.stack([k, v]).view(-1)
        cuts = sorted(data.draw(st.lists(st.integers(0, whole.numel()), max_size=3)))
        ends = zip([0, *cuts], [*cuts, whole.numel()], strict=True)
        stored = Stored([whole[begin:end] for begin, end in ends])
        there, here = halves(stored, k.shape), (k, v)
        assert all(torch.equal(one, two) for one, two in zip(there, here, strict=True))
        sent = staging.send([stored]) if is_sent else []
        on_the_way.append((run.slots(), sent[0] if sent else stored))
    staging.write(on_the_way)
    other.write_all(blocks)
    assert_equal(pool, other)


def test_what_was_sent_and_is_held_bounds_what_is_sent_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent_runtime.engine.staging._SENT_BYTES", 8 * TOKEN_BYTES)
    pool, _ = pools()
    staging = Staging(pool.keys, pool.values)
    blocks = [stored_of(k, v) for _, k, v in blocks_of(pool, [5, 4, 3])]
    first = staging.send(blocks[:2])
    assert len(first) == 1 and staging.send(blocks[1:2]) == []
    assert len(staging.send(blocks[2:])) == 1
    del first
    assert len(staging.send(blocks[1:2])) == 1 and staging.send([]) == []
