"""A PettingZoo wrapper that remembers who did what last; most environments forget it."""

from typing import Any

from pettingzoo.utils.wrappers import BaseWrapper


class LastMove(BaseWrapper):  # type: ignore[misc]  # PettingZoo ships no types
    """`last_move` is (agent, action), or None before the first move."""

    last_move: tuple[str, Any] | None = None

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Forgets the last move and resets the environment."""
        self.last_move = None
        super().reset(seed=seed, options=options)

    def step(self, action: Any) -> None:
        """Remembers the move if it is one, and makes it."""
        agent = self.env.agent_selection
        super().step(action)
        if action is not None:
            self.last_move = (agent, action)
