"""How many tokens the parts of a prompt have: a model puts something of its own around some of them."""

from collections.abc import Callable
from dataclasses import dataclass

Count = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """What counts the tokens of blocks, of anchors, of observations, and of texts with nothing around them."""

    block: Count
    anchor: Count
    observation: Count
    text: Count

    @classmethod
    def alike(cls, count: Count) -> "TokenCounts":
        """Count all parts in the same way."""
        return cls(count, count, count, count)
