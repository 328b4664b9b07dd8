"""What a prompt is made of: blocks, and the observation behind them."""

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a block is for; people and reports read it, the engine never does."""

    ANCHOR = "anchor"
    PERSONA = "persona"
    STATE = "state"
    PRIVATE = "private"
    HISTORY = "history"


class Lifetime(StrEnum):
    """Who keeps a block alive: the game, one match, or one session. It also names who may share the block."""

    GAME = "game"
    MATCH = "match"
    SESSION = "session"


@dataclass(frozen=True, slots=True)
class Block:
    """A named, independently encoded part of a prompt.

    `text` ends in a newline and, unless the block is the anchor, begins with a line that names it: a `star` block sees
    nothing but itself. Two blocks of equal text are the same block to the engine, whatever their names.
    """

    name: str
    text: str
    role: Role
    lifetime: Lifetime


@dataclass(frozen=True, slots=True)
class Prompt:
    """What one turn shows the model: the anchor, the other blocks in order, and the observation, always last."""

    anchor: Block
    blocks: tuple[Block, ...]
    observation: str
