"""Work lists on their way to a device, in memory of the host's that is there from the beginning.

Pinned memory that is asked for as it is needed comes in milliseconds now and then. So there are a few lists, used in
turn: one is written while copies of the others have not left.
"""

from dataclasses import dataclass, field

import numpy
import torch

from agent_runtime.engine.gpu.work_list import Arrays, is_pinned

# One more than forwards that may be under way: one is computed, and one lies ahead of it.
_LISTS = 3


@dataclass(slots=True)
class _HostList:
    """A list, the same as an array, and what tells that its last copy has left; None on a CPU."""

    whole: torch.Tensor
    words: numpy.ndarray = field(init=False)
    left: torch.cuda.Event | None

    def __post_init__(self) -> None:
        self.words = self.whole.numpy()


class HostLists:
    """Copies lists of up to `num_words` int32 to the same place on `device`, without waiting for it."""

    def __init__(self, num_words: int, device: torch.device) -> None:
        is_cuda = device.type == "cuda"
        self.there = torch.zeros(num_words, dtype=torch.int32, device=device)
        self._lists = [
            _HostList(
                torch.empty(num_words, dtype=torch.int32, pin_memory=is_pinned(device)),
                torch.cuda.Event() if is_cuda else None,
            )
            for _ in range(_LISTS)
        ]

    def send(self, arrays: Arrays, num_rows: int, num_wanted: int, size: int) -> None:
        """Write a list for so many rows and wanted rows, of `size` words, and have it copied."""
        host = self._lists.pop(0)
        self._lists.append(host)
        if host.left is not None and not host.left.query():
            host.left.synchronize()
        arrays.write(host.words, num_rows, num_wanted)
        self.there[:size].copy_(host.whole[:size], non_blocking=True)
        if host.left is not None:
            host.left.record()
