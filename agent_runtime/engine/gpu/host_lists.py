"""Work lists on their way to a device, in memory of the host's that is there from the beginning.

Pinned memory that is asked for as it is needed comes in milliseconds now and then. So there are a few lists, used in
turn: one is written while copies of the others have not left.
"""

from dataclasses import dataclass

import numpy
import torch

from agent_runtime.engine.gpu.work_list import Arrays, is_pinned

# One more than forwards that may be under way: one is computed, and one lies ahead of it.
_LISTS = 3
# Lists are copied up to a multiple of so many words: their beginnings are 4,096 for the largest.
_WORDS_EACH = 256


@dataclass(slots=True)
class _HostList:
    """A list as an array and as what is copied of it, and what tells that its last copy has left; None on a CPU."""

    words: numpy.ndarray
    beginnings: "Beginnings"
    left: torch.cuda.Event | None


class Beginnings:
    """The beginnings of a list, cut as they are asked for the first time: cutting one costs more than copying it."""

    def __init__(self, whole: torch.Tensor) -> None:
        self._whole = whole
        self._cut: dict[int, torch.Tensor] = {}

    def of(self, size: int) -> torch.Tensor:
        """Return so many words, or up to a kilobyte more."""
        size = min(-(-size // _WORDS_EACH) * _WORDS_EACH, self._whole.numel())
        found = self._cut.get(size)
        if found is None:
            found = self._cut[size] = self._whole[:size]
        return found


class HostLists:
    """Copies lists of up to `num_words` int32 to the same place on `device`, without waiting for it."""

    def __init__(self, num_words: int, device: torch.device) -> None:
        is_cuda = device.type == "cuda"
        self.there = torch.zeros(num_words, dtype=torch.int32, device=device)
        self._there = Beginnings(self.there)
        self._lists = []
        for _ in range(_LISTS):
            whole = torch.zeros(num_words, dtype=torch.int32, pin_memory=is_pinned(device))
            self._lists.append(_HostList(whole.numpy(), Beginnings(whole), torch.cuda.Event() if is_cuda else None))

    def send(self, arrays: Arrays, num_rows: int, num_wanted: int, size: int) -> None:
        """Write a list for so many rows and wanted rows, of `size` words, and have it copied; `let_go` of it then."""
        host = self._lists.pop(0)
        self._lists.append(host)
        if host.left is not None and not host.left.query():
            host.left.synchronize()
        arrays.write(host.words, num_rows, num_wanted)
        self._there.of(size).copy_(host.beginnings.of(size), non_blocking=True)

    def let_go(self) -> None:
        """Have the list that was sent last written again, some lists later, once the device has come to this.

        It is said when the forward is on its way: before that, a device would wait for it to be said.
        """
        left = self._lists[-1].left
        if left is not None:
            left.record()
