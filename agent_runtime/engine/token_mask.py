"""What the engine asks of a grammar while it decodes token by token.

The engine knows no grammar library; `agent_runtime.grammar` implements this with one, tests with a few lines.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

import numpy
import torch

from agent_runtime.engine.copies import there


class TokenMask(Protocol):
    """The state of one constrained answer. It belongs to one answer and one thread."""

    @property
    def finished(self) -> bool:
        """Return whether the answer is complete and nothing may follow it."""
        ...

    def forced(self) -> Sequence[int]:
        """Return the tokens that must come next, [] if there is a choice; `advance` takes them one by one."""
        ...

    def allowed(self) -> torch.Tensor:
        """Return which tokens may come next: bool [V], V the model's vocabulary, on the device of its logits."""
        ...

    def advance(self, token: int) -> None:
        """Take one token, which must be allowed or the first forced one."""
        ...


def allowed_of(bits_B: numpy.ndarray, num_logits: int, device: torch.device) -> torch.Tensor:
    """Return bool [`num_logits`] on `device` from bits in bytes, uint8 [B], the lowest of each first; none lacks.

    Bytes are what is copied, an eighth of what they say.
    """
    bytes_B1 = there(bits_B.copy(), device)[:, None]
    return ((bytes_B1 >> _places(device)) & 1).flatten()[:num_logits].bool()


@lru_cache
def _places(device: torch.device) -> torch.Tensor:
    return torch.arange(8, dtype=torch.uint8, device=device)
