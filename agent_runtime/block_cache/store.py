"""Where blocks outlive the pool: what a store of them does, and one that keeps none."""

from collections.abc import Iterable, Mapping
from typing import Protocol

import torch

Tensors = Mapping[str, torch.Tensor]


class BlockStore(Protocol):
    """Where blocks outlive the pool. Neither `put` nor `link` waits for a disk; `get_many` may read one.

    A key that `get_many` leaves out is a miss, whatever the reason; `durable` says which keys a crash cannot lose.
    """

    def put(self, match: str, key: str, tensors: Tensors, note: str = "") -> None:
        """Keep a block for `match`; takes ownership of the tensors."""

    def link(self, match: str, keys: Iterable[str]) -> None:
        """Say that `match` uses these blocks too, whoever put them."""

    def get_many(self, keys: Iterable[str]) -> dict[str, Tensors]:
        """Return what is there of `keys`, verified."""

    def contains(self, keys: Iterable[str]) -> set[str]:
        """Return those of `keys` that need not be put: durable, or on their way to it."""

    def durable(self, keys: Iterable[str]) -> set[str]:
        """Return those of `keys` that survive a crash."""

    def forget_match(self, match: str) -> None:
        """Keep what `match` alone uses no longer."""


class MemoryStore:
    """Keeps nothing: every block that left the pool is encoded again. For an engine without a disk."""

    def put(self, match: str, key: str, tensors: Tensors, note: str = "") -> None:
        """Let the block go."""

    def link(self, match: str, keys: Iterable[str]) -> None:
        """Link nothing."""

    def get_many(self, keys: Iterable[str]) -> dict[str, Tensors]:
        """Return nothing."""
        return {}

    def contains(self, keys: Iterable[str]) -> set[str]:
        """Return all: putting them would change nothing."""
        return set(keys)

    def durable(self, keys: Iterable[str]) -> set[str]:
        """Return nothing: no block survives."""
        return set()

    def forget_match(self, match: str) -> None:
        """Forget nothing."""
