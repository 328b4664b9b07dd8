"""The conditions of an evaluation: ways of attending under which a model answers the same questions."""

from dataclasses import dataclass

from agent_runtime.turn import Mode


@dataclass(frozen=True, slots=True)
class Condition:
    """A way of attending. `moved` False leaves every block at its own positions: the paper's ablation."""

    mode: Mode
    moved: bool = True

    @property
    def name(self) -> str:
        """Return how reports call it."""
        return self.mode.value if self.moved else f"{self.mode.value}, not moved"


def condition_of(name: str) -> Condition:
    """Return the condition that a command line names: a mode, or a mode and `:unmoved`. Raises ValueError."""
    mode, _, how = name.partition(":")
    if how not in ("", "unmoved") or (how and mode == Mode.FULL):
        raise ValueError(name)
    return Condition(Mode(mode), moved=not how)
