"""What a store says of itself."""

from collections.abc import Mapping
from dataclasses import dataclass

from kv_store.archive import Recovery
from kv_store.errors import Fault


@dataclass(frozen=True, slots=True)
class FlushCount:
    """What was queued when the flush came and is durable now.

    `dropped` blocks were put since the last flush and refused for want of room in the queue: they are not in the store.
    """

    blocks: int
    bytes: int
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class Leftover:
    """What closing had no time to write, and is lost."""

    blocks: int
    bytes: int
    documents: int


@dataclass(frozen=True, slots=True)
class StoreStats:
    """The store's counters. Sizes in bytes; everything counted from the opening of the store.

    `blocks` are durable and usable; `pack_bytes` is what the budget is about and includes blocks of other fingerprints.
    `faults` counts blocks that could not be read, by reason; `refused_documents` were not JSON; `write_failure` says
    why nothing can be written at the moment.
    """

    blocks: int
    packs: int
    pack_bytes: int
    budget_bytes: int | None
    pending_blocks: int
    pending_bytes: int
    dropped_blocks: int
    evicted_blocks: int
    read_blocks: int
    read_bytes: int
    faults: Mapping[Fault, int]
    refused_documents: int
    write_failure: str | None
    recovery: Recovery
