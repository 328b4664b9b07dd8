"""Lists are copied from a few places in turn, and none is written before its last copy has left."""

from types import SimpleNamespace

import numpy
import pytest
import torch

from agent_runtime.engine.gpu import host_lists
from agent_runtime.engine.gpu.host_lists import HostLists

CPU = torch.device("cpu")


class Left:
    """An event on which a copy leaves when it is waited for."""

    def __init__(self, said: list[str], number: int) -> None:
        self.said, self.number, self.is_over = said, number, True

    def query(self) -> bool:
        return self.is_over

    def synchronize(self) -> None:
        self.said.append(f"waits for {self.number}")
        self.is_over = True

    def record(self) -> None:
        self.said.append(f"sends {self.number}")
        self.is_over = False


def arrays_of(words: list[int], said: list[str]) -> SimpleNamespace:
    def write(whole: numpy.ndarray, num_rows: int, num_wanted: int) -> None:
        said.append(f"writes {num_rows} {num_wanted}")
        whole[: len(words)] = words

    return SimpleNamespace(write=write)


@pytest.mark.parametrize("num_words", [256, 700, 2**12])
def test_a_list_lies_where_it_was_sent_and_what_is_far_behind_it_stays(num_words: int) -> None:
    lists, there = HostLists(num_words, CPU), None
    before = [0] * num_words
    for words in ([1] * 256, list(range(num_words)), [7, 8], [9] * 256, list(range(num_words, 0, -1)), [5] * 250):
        lists.send(arrays_of(words, []), 2, 1, len(words))
        lists.let_go()
        assert there in (None, lists.there.data_ptr())
        there = lists.there.data_ptr()
        assert lists.there[: len(words)].tolist() == words
        assert lists.there[256:].tolist() == (words if len(words) > 256 else before)[256:]
        before = lists.there.tolist()


def test_none_is_written_before_its_last_copy_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_lists, "_LISTS", 2)
    said: list[str] = []
    lists = HostLists(4, CPU)
    for number, host in enumerate(lists._lists):
        host.left = Left(said, number)  # type: ignore[assignment]
    for row in range(3):
        lists.send(arrays_of([row], said), row, 0, 1)
        said.append("computes")
        lists.let_go()
    assert said == [
        *("writes 0 0", "computes", "sends 0"),
        *("writes 1 0", "computes", "sends 1"),
        *("waits for 0", "writes 2 0", "computes", "sends 0"),
    ]
