"""What a replay in process keeps blocks in."""

from enum import StrEnum


class StoreKind(StrEnum):
    """Where blocks go that leave the pool: nowhere, into a store that starts empty, or into one that has them all.

    `warm` plays the recording once without measuring, and then again with an empty pool over the store that this has
    filled: what a game pays when its server starts anew. (The operating system still has those files in memory.)
    Modes `full` and `prefix` keep nothing in a store.
    """

    NONE = "none"
    EMPTY = "empty"
    WARM = "warm"
