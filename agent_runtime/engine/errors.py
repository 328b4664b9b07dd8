"""The engine's errors.

EngineError
├── UnsupportedAttention   an attention keyword that would change the result and is not implemented
├── PoolFull               more tokens than the pool has free slots, after all that may go has gone
└── PoolBooksError         the pool's reference counts do not add up (a defect of ours, found by `check`)
"""

from dataclasses import dataclass


class EngineError(Exception):
    """Base of all."""


@dataclass
class UnsupportedAttention(EngineError):
    """A model layer asked for something that block attention does not do."""

    layer: str
    keyword: str

    def __str__(self) -> str:
        return f"Layer {self.layer} attends with {self.keyword!r}, which block attention does not implement. Use another model."


@dataclass
class PoolFull(EngineError):
    """More slots were asked for than are free."""

    needed: int
    free: int
    capacity: int

    def __str__(self) -> str:
        return (
            f"The pool has {self.free} of {self.capacity} slots free and {self.needed} tokens need one. "
            "Give it more memory (--pool-mib), or let fewer turns run at once."
        )


@dataclass
class PoolBooksError(EngineError):
    """A slot whose references differ from what its holders say."""

    slot: int
    expected: int
    found: int
    num_wrong: int

    def __str__(self) -> str:
        return f"{self.num_wrong} pool slots are misbooked; slot {self.slot} has {self.found} references instead of {self.expected}."
