"""What the engine asks of a grammar while it decodes token by token.

The engine knows no grammar library; `agent_runtime.grammar` implements this with one, tests with a few lines.
"""

from collections.abc import Sequence
from typing import Protocol

import torch


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
