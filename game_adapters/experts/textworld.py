"""TextWorld's own walkthrough: what is left of the quest from wherever the agent stands.

It knows the whole map. For custom, coin and treasure games that is no more than the quest tells, which names every
step; in a cooking game it reads the cookbook before it acts on it, and only the way to what it needs is known to it
before it has seen it.
"""

from game_adapters.environments import Environment
from game_adapters.errors import ExpertLost
from game_adapters.textworld_core import TextWorldCore
from game_adapters.textworld_game import core_of

_BOOK = "cookbook"


class TextWorldExpert:
    """Does the next command of the walkthrough."""

    def __init__(self, seed: int = 0) -> None:
        pass

    def choose(self, env: Environment, agent: str) -> int:
        """The command's number."""
        core = core_of(env)
        command = self._to_the_book(core) if core.kind == "cooking" and _BOOK not in core.read else None
        if command is None:
            if not core.policy:
                raise ExpertLost("textworld", "the quest cannot be fulfilled any more")
            command = core.policy[0]
        if command not in core.commands:
            raise ExpertLost("textworld", f"{command!r} is not possible")
        return core.commands.index(command)

    def _to_the_book(self, core: TextWorldCore) -> str | None:
        """A step to the room with the cookbook, by a shortest way; None if there is none."""
        if f"examine {_BOOK}" in core.commands:
            return f"examine {_BOOK}"
        start, goal = core.room_id, core.room_of(_BOOK)
        if goal is None or start == goal:
            return None
        first: dict[str, str] = {start: ""}
        edge = [start]
        while edge and goal not in first:
            following = []
            for room in edge:
                for direction, there in core.exits(room).items():
                    if there not in first:
                        first[there] = first[room] or direction
                        following.append(there)
            edge = following
        if goal not in first:
            return None
        door = core.door(start, core.exits(start)[first[goal]])
        opening = None if door is None else f"open {core.named(door)}"
        return opening if opening in core.commands else f"go {first[goal]}"
