"""Bits of a grammar as a mask over the vocabulary."""

import numpy
import torch
from hypothesis import given
from hypothesis import strategies as st

from agent_runtime.engine.token_mask import allowed_of


@given(st.binary(min_size=1, max_size=40), st.data())
def test_bits_are_read_from_the_lowest_on_and_those_of_no_token_are_left_out(
    packed: bytes, data: st.DataObject
) -> None:
    num_logits = data.draw(st.integers(1, 8 * len(packed)))
    bits = numpy.frombuffer(packed, dtype=numpy.uint8)  # which cannot be written to, as a grammar's
    found = allowed_of(bits, num_logits, torch.device("cpu"))
    assert found.dtype is torch.bool and found.shape == (num_logits,)
    assert found.tolist() == [bool(packed[token // 8] >> token % 8 & 1) for token in range(num_logits)]
