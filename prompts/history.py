"""What a session remembers: each finished turn is a block, as the game applied it."""

from dataclasses import dataclass

from prompts.block import Block, Lifetime, Role
from prompts.game import Game
from prompts.rendering import render


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One finished turn: what the agent saw, what it did, and what the game said to that."""

    turn_id: int
    frame: int
    observation: str
    action_text: str | None
    ok: bool
    message: str | None = None
    reward: float | None = None


def history_block(game: Game, entry: HistoryEntry) -> Block:
    """The block of a finished turn. Raises TemplateFailed."""
    name = f"history/{entry.turn_id}"
    text = render(
        game.history,
        name,
        turn_id=entry.turn_id,
        frame=entry.frame,
        observation=entry.observation,
        action=entry.action_text,
        ok=entry.ok,
        message=entry.message,
        reward=entry.reward,
    )
    return Block(name, f"{name}\n{text}\n", Role.HISTORY, Lifetime.SESSION)
