"""Stored blocks from where they lie on a GPU to their slots: all layers of many blocks by one kernel.

Numbers are copied as whole words, whatever they are. Where a token's numbers begin, and where a layer does, the kernel
reads as addresses: so blocks may lie in any number of buffers, and layers in tensors of their own.

Shapes: L layers, t tokens of a block, T of all blocks, B blocks, N slots, G key/value heads, D head dimension.
"""

# What Triton compiles has types of its own.
# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"

import math
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy
import torch
import triton
import triton.language as tl

from agent_runtime.engine.copies import there
from agent_runtime.engine.gpu.fused import FUSION
from agent_runtime.engine.runs import stretched

# What a thread copies at once, if all that is copied begins at multiples of so many bytes.
_WIDEST = 16
# Words of a program, of which there are at most so many of one token.
_WORDS, _WORDS_OF_TOKEN = 4096, 1024
# The integers that words are.
_WORD = {1: tl.int8, 2: tl.int16, 4: tl.int32}


@triton.jit(do_not_specialize=["first", "stop", "total"])
def scatter(
    layers,
    tokens,
    first,
    stop,
    total,
    NUM_WORDS: tl.constexpr,
    WORD: tl.constexpr,
    WORD_BYTES: tl.constexpr,
    DIVISOR: tl.constexpr,
    TOKENS: tl.constexpr,
    WORDS: tl.constexpr,
):
    """Copy tokens `first` to `stop` to their slots, of keys or values of one layer: [3, total] says what they are.

    That is the slot, the address of the token in keys of the first layer, and the bytes from one layer to the next.
    """
    token = first + tl.program_id(0) * TOKENS + tl.arange(0, TOKENS)
    layer = tl.program_id(1)
    word = tl.program_id(2) * WORDS + tl.arange(0, WORDS)
    is_token = token < stop
    slot = tl.load(tokens + token, mask=is_token, other=0)
    address = tl.load(tokens + total + token, mask=is_token, other=0)
    apart = tl.load(tokens + 2 * total + token, mask=is_token, other=0)
    source = (address + apart * layer).to(tl.pointer_type(WORD))
    target = (tl.load(layers + layer) + slot * (NUM_WORDS * WORD_BYTES)).to(tl.pointer_type(WORD))
    source = tl.multiple_of(source, DIVISOR)[:, None] + word[None, :]
    target = tl.multiple_of(target, DIVISOR)[:, None] + word[None, :]
    inside = is_token[:, None] & (word < NUM_WORDS)[None, :]
    tl.store(target, tl.load(source, mask=inside, other=0), mask=inside)


class KernelScattering:
    """The kernel's way into layers `keys` and `values`, [N, G, D] each, all of one device and contiguous."""

    def __init__(self, keys: Sequence[torch.Tensor], values: Sequence[torch.Tensor]) -> None:
        self._layers = (*keys, *values)
        assert all(layer.is_contiguous() for layer in self._layers), "rows of slots lie one behind the other"
        self._device = keys[0].device
        self._row_bytes = keys[0].shape[1:].numel() * keys[0].dtype.itemsize
        addresses = [layer.data_ptr() for layer in self._layers]
        self._addresses = torch.tensor(addresses, dtype=torch.int64).to(self._device)
        self.constants = constants(self._row_bytes, math.gcd(_WIDEST, self._row_bytes, *addresses))

    def plan(self, slots: Sequence[numpy.ndarray], parts: Sequence[torch.Tensor]) -> "KernelScatter":
        """Return what scatters blocks: slots [t] and numbers of each, [2, L, t, G, D] in a row on the device.

        What the kernel has to know is copied there on the current stream.
        """
        lengths, begins = (numpy.empty(len(parts), dtype=numpy.int64) for _ in range(2))
        for number, (own, part) in enumerate(zip(slots, parts, strict=True)):
            lengths[number], begins[number] = len(own), part.data_ptr()
            assert part.nbytes == len(self._layers) * len(own) * self._row_bytes, "a block is as long as its slots"
        assert not (begins % self.constants["DIVISOR"]).any(), "buffers begin where layers may, too"
        ends, inside_block = numpy.cumsum(lengths), stretched(numpy.zeros_like(lengths), lengths)
        tokens = numpy.empty((3, len(inside_block)), dtype=numpy.int64)
        tokens[0] = numpy.concatenate(slots)
        tokens[1] = numpy.repeat(begins, lengths) + inside_block * self._row_bytes
        tokens[2] = numpy.repeat(lengths * self._row_bytes, lengths)
        return KernelScatter(self, there(tokens, self._device), [0, *ends.tolist()])

    def launch(self, tokens: torch.Tensor, first: int, stop: int) -> None:
        """Scatter tokens `first` to `stop` of [3, T] on the current stream."""
        fixed = self.constants
        if first == stop:
            return
        grid = (
            triton.cdiv(stop - first, fixed["TOKENS"]),
            len(self._layers),
            triton.cdiv(fixed["NUM_WORDS"], fixed["WORDS"]),
        )
        with torch.cuda.device(self._device) if self._device.type == "cuda" else nullcontext():  # where Triton launches
            scatter[grid](self._addresses, tokens, first, stop, tokens.shape[1], **fixed, enable_fp_fusion=FUSION)


class KernelScatter:
    """Blocks on their way: `tokens` [3, T] as the kernel reads them, and where each block's begin and end [B + 1]."""

    def __init__(self, way: KernelScattering, tokens: torch.Tensor, ends: Sequence[int]) -> None:
        self._way, self._tokens, self._ends = way, tokens, ends

    def write(self, first: int, stop: int) -> None:
        """Write blocks `first` to `stop` into their slots, on the current stream."""
        self._way.launch(self._tokens, self._ends[first], self._ends[stop])


def constants(row_bytes: int, divisor: int) -> dict[str, Any]:
    """Return what the kernel is compiled for: bytes of a token in one layer, and what addresses are multiples of."""
    word_bytes = min(divisor, max(_WORD))
    num_words = row_bytes // word_bytes
    words = min(triton.next_power_of_2(num_words), _WORDS_OF_TOKEN)
    return {
        "NUM_WORDS": num_words,
        "WORD": _WORD[word_bytes],
        "WORD_BYTES": word_bytes,
        "DIVISOR": divisor,
        "TOKENS": _WORDS // words,
        "WORDS": words,
    }
