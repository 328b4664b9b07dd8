"""What bounds a store."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """Sizes and times of a store that are seldom worth changing."""

    pack_bytes: int = 64 << 20
    """About how much goes into one pack, and is in memory a second time while it is written."""
    queue_bytes: int = 1 << 30
    """How much may wait for the disk; blocks put beyond it are dropped and counted."""
    linger_s: float = 0.05
    """How long the writer waits for more to put into the same pack; a flush does not wait."""
    retry_first_s: float = 0.1
    """The pause after the first refusal of the disk; it doubles with every further one."""
    retry_most_s: float = 5.0
    """The longest pause between two attempts."""


DEFAULT_LIMITS = StoreLimits()
