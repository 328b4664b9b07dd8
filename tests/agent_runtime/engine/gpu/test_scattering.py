"""The kernel that scatters blocks beside plain torch, bit by bit, on random ragged blocks; and for what it compiles."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_runtime.engine.gpu.scattering import KernelScattering, constants
from agent_runtime.engine.scattering import TorchScattering
from agent_runtime.engine.staging import Staging, Stored
from tests.agent_runtime.engine.gpu.layers import DEVICE

SLOTS, LAYERS = 64, 3
DTYPES = (torch.bfloat16, torch.float16, torch.float32)


def layers_of(row: tuple[int, int], dtype: torch.dtype) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    keys, values = ([torch.zeros((SLOTS, *row), dtype=dtype, device=DEVICE) for _ in range(LAYERS)] for _ in range(2))
    return keys, values


def random_bits(count: int, dtype: torch.dtype, rng: numpy.random.Generator) -> torch.Tensor:
    """Numbers of all kinds, among them those that equal nothing, [count]."""
    numbers = torch.empty(count, dtype=dtype)
    numbers.view(torch.uint8).numpy()[:] = rng.integers(0, 256, numbers.nbytes, dtype=numpy.uint8)
    return numbers


def assert_same_bits(one: list[torch.Tensor], other: list[torch.Tensor]) -> None:
    assert all(torch.equal(a.view(torch.uint8), b.view(torch.uint8)) for a, b in zip(one, other, strict=True))


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=7),
    row=st.sampled_from([(2, 64), (1, 33), (3, 4), (5, 7), (2, 600)]),
    dtype=st.sampled_from(DTYPES),
    slot_dtype=st.sampled_from([numpy.int32, numpy.int64]),
    buffer_tokens=st.integers(1, 30),
    seed=st.integers(0, 2**16),
)
def test_sent_and_fresh_blocks_lie_bit_for_bit_where_plain_torch_puts_them(
    lengths: list[tuple[int, bool]],
    row: tuple[int, int],
    dtype: torch.dtype,
    slot_dtype: type,
    buffer_tokens: int,
    seed: int,
) -> None:
    rng = numpy.random.default_rng(seed)
    free = rng.permutation(SLOTS).astype(slot_dtype)
    ours, theirs = layers_of(row, dtype), layers_of(row, dtype)
    each = 2 * LAYERS * row[0] * row[1]
    staged = [
        Staging(*layers, buffer_tokens * each * dtype.itemsize, scattering=way(*layers))
        for way, layers in ((KernelScattering, ours), (TorchScattering, theirs))
    ]
    taken, blocks = 0, []
    for length, is_sent in lengths:
        blocks.append((free[taken : taken + length], Stored([random_bits(length * each, dtype, rng)]), is_sent))
        taken += length
    for staging in staged:
        sent = iter(staging.send([stored for _, stored, is_sent in blocks if is_sent and stored.size]))
        staging.write([(slots, next(sent) if is_sent and stored.size else stored) for slots, stored, is_sent in blocks])
    assert_same_bits([*ours[0], *ours[1]], [*theirs[0], *theirs[1]])
    written = torch.cat([layer.flatten(1).view(torch.uint8) for layer in (*ours[0], *ours[1])], 1).any(1).nonzero()
    assert {*written.flatten().tolist()} <= {*free[:taken].tolist()}


@pytest.mark.parametrize("dtype", DTYPES)
def test_layers_may_begin_anywhere_and_words_are_as_wide_as_they_can_be(dtype: torch.dtype) -> None:
    rng = numpy.random.default_rng(1)
    keys, values = ([torch.zeros(SLOTS * 8 + 1, dtype=dtype, device=DEVICE)[1:].view(SLOTS, 2, 4)] for _ in range(2))
    way, other = KernelScattering(keys, values), layers_of((2, 4), dtype)
    other = other[0][:1], other[1][:1]
    assert way.constants["DIVISOR"] == way.constants["WORD_BYTES"] == dtype.itemsize
    assert KernelScattering(*other).constants["DIVISOR"] == 16
    slots, parts = [numpy.array([5, 3, 60])], [random_bits(2 * 3 * 8, dtype, rng).to(DEVICE)]
    way.plan(slots, parts).write(0, 1)
    TorchScattering(*other).plan(slots, parts).write(0, 1)
    assert_same_bits([*keys, *values], [*other[0], *other[1]])


def test_a_block_that_is_not_as_long_as_its_slots_is_written_nowhere() -> None:
    layers = layers_of((2, 4), torch.float32)
    with pytest.raises(AssertionError, match="as long as its slots"):
        KernelScattering(*layers).plan([numpy.arange(3)], [torch.zeros(2 * 2 * LAYERS * 8, device=DEVICE)])


@pytest.mark.parametrize("row_bytes", [1, 2, 66, 144, 2048, 8192])
def test_a_program_copies_as_many_words_whatever_the_size_of_a_token(row_bytes: int) -> None:
    fixed = constants(row_bytes, min(row_bytes & -row_bytes, 16))
    assert fixed["NUM_WORDS"] * fixed["WORD_BYTES"] == row_bytes and fixed["TOKENS"] * fixed["WORDS"] == 4096


def test_threads_copy_sixteen_bytes_at_once_where_heads_are_even(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-m", "tests.agent_runtime.engine.gpu.compiled_scattering", "2048", "66"]
    made = subprocess.run(
        command, env=environment | {"TRITON_CACHE_DIR": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    even, odd = (re.findall(r"(ld|st)\.global\S*?((?:\.v4)?\.b(?:16|32))", ptx) for ptx in made.stdout.split("\0"))
    assert {*even} == {("ld", ".v4.b32"), ("st", ".v4.b32")}
    assert {*odd} == {("ld", ".b16"), ("st", ".b16")}
