"""Where blocks stand: what a card says and a view does, in a module that needs no torch."""

from enum import StrEnum


class Positions(StrEnum):
    """Where the blocks of a view stand."""

    SEQUENTIAL = "sequential"
    """One behind the other."""
    SHARED = "shared"
    """All at the same place, directly behind the anchor: however many there are, none is far away."""
