"""The likeliest token of a row is PyTorch's."""

import pytest
import torch

from agent_runtime.engine.gpu import likeliest as kernels
from agent_runtime.engine.gpu.likeliest import likeliest
from tests.agent_runtime.engine.gpu.layers import DEVICE

INFINITE = float("inf")


@pytest.mark.parametrize(("rows", "vocab"), [(1, 1), (1, 1024), (3, 1025), (2, 5000), (0, 40)])
def test_it_is_that_of_the_largest_logit(rows: int, vocab: int) -> None:
    logits = torch.randn(rows, vocab, generator=torch.Generator().manual_seed(vocab)).to(DEVICE)
    found = likeliest(logits)
    assert found.dtype is torch.int32 and found.tolist() == logits.argmax(-1).tolist()


@pytest.mark.parametrize("places", [[0], [1023, 1024], [1024, 2047], [2999, 17, 1500], [2999]])
def test_of_equals_it_is_the_lowest(places: list[int]) -> None:
    logits = torch.zeros(2, 3000)
    logits[0, places] = 1
    logits[1] = -INFINITE
    logits[1, places] = -1
    assert likeliest(logits.to(DEVICE)).tolist() == [min(places)] * 2


def test_where_all_are_impossible_it_is_the_first() -> None:
    assert likeliest(torch.full((2, 2100), -INFINITE, device=DEVICE)).tolist() == [0, 0]


def test_pieces_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = torch.randint(-3, 3, (4, 777), generator=torch.Generator().manual_seed(0)).float().to(DEVICE)
    found = []
    for piece in (16, 64, 1024):
        monkeypatch.setattr(kernels, "_PIECE", piece)
        found.append(likeliest(logits).tolist())
    assert found[0] == found[1] == found[2] == logits.cpu().argmax(-1).tolist()
