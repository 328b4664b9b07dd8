"""BabyAI (minigrid's levels with missions) in words: what the one agent sees now, and what it has seen so far.

Positions are columns from the left and rows from the top of the whole map. What was seen is a block for each thing,
which stays as it is until the thing moves; where the agent stands is live, and the way here is history.
"""

from random import Random
from typing import TYPE_CHECKING

from game_adapters.environments import Environment
from game_adapters.errors import WrongEnvironment
from game_adapters.game_state import Json

if TYPE_CHECKING:
    from game_adapters.babyai_core import BabyAICore

FACING = ("east", "south", "west", "north")
ACTIONS = ("turn left", "turn right", "go forward", "pick up", "drop", "open or close")


class BabyAI:
    """Contract of `babyai`. The agent sees a part of the room before it, and remembers what it saw."""

    def make_env(self, seed: int, *, level: str = "GoToLocal", steps: int = 40) -> Environment:
        """One mission of a level (minigrid's BabyAI-LEVEL-v0), `steps` steps at most."""
        from game_adapters import core_env
        from game_adapters.babyai_core import BabyAICore

        env = core_env.env(BabyAICore(level, steps))
        env.reset(seed=seed)
        return env

    def describe(self, env: Environment, agent: str) -> Json:
        """The mission, what the agent carries, the things it has seen, and where it stands."""
        return {name: part for name, part in self.describe_match(env).items() if name != "unseen"}

    def describe_match(self, env: Environment) -> Json:
        """The same, and the things that were not seen yet."""
        core = core_of(env)
        column, row, facing = core.place
        seen, unseen = core.things()
        state = {
            "mission": core.mission,
            "carrying": core.carried or "nothing",
            "things": seen,
            "unseen": unseen,
            "here": {"column": column, "row": row, "facing": FACING[facing], "step": core.num_steps + 1},
        }
        return {name: part for name, part in state.items() if part}

    def sight(self, agent: str) -> tuple[str, ...]:
        """Everything but what was not seen yet."""
        return ("!/unseen",)

    def action_names(self, env: Environment, agent: str) -> list[str]:
        """turn left, turn right, go forward, pick up, drop, open or close."""
        return list(ACTIONS)

    def observation(self, env: Environment, agent: str) -> str:
        """Where the agent stands, how far it can go, and what is in sight."""
        core = core_of(env)
        column, row, facing = core.place
        ways = ", ".join(f"{side} {core.way(turn)}" for side, turn in (("ahead", 0), ("left", -1), ("right", 1)))
        sights = "; ".join(core.in_sight()) or "nothing"
        return (
            f"Step {core.num_steps + 1}. You are at column {column}, row {row} and face {FACING[facing]}. "
            f"Free squares: {ways}. In sight: {sights}."
        )

    def action_texts(self, env: Environment, agent: str) -> list[str]:
        """None: the rules say what they do."""
        return [""] * len(ACTIONS)

    def vary_hidden(self, env: Environment, agent: str, random: Random) -> bool:
        """Give a thing that was not seen yet another colour."""
        return core_of(env).vary_unseen(random)


def core_of(env: Environment) -> "BabyAICore":
    """The game behind an environment; raises WrongEnvironment."""
    core = getattr(env.unwrapped, "core", None)
    if core is None or core.name != "babyai":
        raise WrongEnvironment("babyai", str(env.unwrapped))
    return core  # type: ignore[no-any-return]
