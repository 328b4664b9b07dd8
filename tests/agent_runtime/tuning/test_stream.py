"""Batches of several sources: who fills which row, always the same."""

import pytest
import torch

from agent_runtime.tuning.errors import NotTrainable
from agent_runtime.tuning.rows import TokenAsk, TokenSample
from agent_runtime.tuning.stream import BatchStream, TokenSource
from agent_runtime.turn import Mode


def source(token: int, length: int) -> TokenSource:
    """A source of one sample that is nothing but one token."""
    return TokenSource([TokenSample(((token,) * (length - 2),), (TokenAsk((token,), (token, token)),))])


def stream(*sources: tuple[float, TokenSource], rows: int = 1) -> BatchStream:
    return BatchStream(sources, (Mode.FULL, Mode.STAR), rows, 64, 1_000)


def filled_by(made: BatchStream, numbers: range) -> list[set[int]]:
    """Which tokens are in each row of the batches."""
    batches = [made[number] for number in numbers]
    return [set(ids[document >= 0].tolist()) for x in batches for ids, document in zip(x.ids, x.document, strict=True)]


def test_a_row_is_filled_by_one_source_and_rows_are_shared_out_by_weight() -> None:
    rows = filled_by(stream((3.0, source(5, 30)), (1.0, source(6, 7))), range(400))
    assert all(len(tokens) == 1 for tokens in rows)
    assert rows[::2] == rows[1::2]  # both modes hold the same
    share = rows.count({5}) / len(rows)
    assert 0.65 < share < 0.85


def test_a_batch_depends_on_its_number_alone() -> None:
    one, other = (stream((1.0, source(5, 30)), (1.0, source(6, 7)), rows=3) for _ in range(2))
    one[0]
    assert torch.equal(one[7].ids, other[7].ids)


def test_where_a_source_has_nothing_short_enough_another_fills_the_row_until_none_is_left() -> None:
    made = stream((1.0, source(5, 30)), (9.0, source(6, 65)))
    assert {frozenset(tokens) for tokens in filled_by(made, range(20))} == {frozenset({5})}
    assert sum(made[number].left_out for number in range(20)) > 200
    with pytest.raises(NotTrainable, match="fits into 64 tokens"):
        filled_by(stream((9.0, source(6, 65))), range(1))
