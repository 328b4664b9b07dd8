"""TextWorld in words: rooms that were visited and the things in them, the one carried, and what was read.

TextWorld's games are generated from a seed and played by its own logic, without an interpreter for its story files;
all words here are made from the facts of the state. What the agent has not visited or opened, it does not see.
"""

from random import Random
from typing import TYPE_CHECKING

from game_adapters.environments import Environment
from game_adapters.errors import BadOption, WrongEnvironment
from game_adapters.game_state import Json

if TYPE_CHECKING:
    from game_adapters.textworld_core import TextWorldCore

KINDS = ("custom", "coin", "treasure", "cooking")
NUM_SLOTS = 96


class TextWorldGame:
    """Contract of `textworld`. The agent remembers the rooms it has been to."""

    def make_env(
        self, seed: int, *, kind: str = "custom", rooms: int = 4, objects: int = 8, quest: int = 4, steps: int = 40
    ) -> Environment:
        """A generated game: `kind` is custom, coin, treasure or cooking.

        `rooms`, `objects` and `quest` (commands that the quest takes) are custom's; a coin or treasure game has
        difficulty `quest` (1 to 30), a cooking game `rooms` of 1, 6, 9 or 12 and a recipe of 1 to 3 parts, by `quest`.
        """
        if kind not in KINDS:
            raise BadOption("textworld", "kind", f"there is no kind {kind!r}; there are {', '.join(KINDS)}.")
        for option, value, most in (("rooms", rooms, 20), ("objects", objects, 40), ("quest", quest, 30)):
            if not 1 <= value <= most:
                raise BadOption("textworld", option, f"{value} is not between 1 and {most}.")
        if steps < 1:
            raise BadOption("textworld", "steps", f"{steps} steps leave no turn; at least 1.")
        from game_adapters import core_env
        from game_adapters.textworld_core import TextWorldCore

        env = core_env.env(TextWorldCore(kind, rooms, objects, quest, steps))
        env.reset(seed=seed)
        return env

    def describe(self, env: Environment, agent: str) -> Json:
        """The quest, the rooms that the agent has been to, the things it can see or has, and what it has read."""
        return {name: part for name, part in self.describe_match(env).items() if name != "unseen"}

    def describe_match(self, env: Environment) -> Json:
        """The same, and what the agent has not seen."""
        core = core_of(env)
        seen, unseen = core.things()
        state = {
            "quest": core.objective,
            "rooms": core.rooms(),
            "things": seen,
            "unseen": unseen,
            "read": dict(core.read),
            "here": {"room": core.room, "step": core.num_steps + 1, "score": core.score},
        }
        return {name: part for name, part in state.items() if part}

    def sight(self, agent: str) -> tuple[str, ...]:
        """Everything but what was not seen yet."""
        return ("!/unseen",)

    def action_names(self, env: Environment, agent: str) -> list[str]:
        """The commands that would do something now, in alphabetical order; the rest of the numbers are not used."""
        commands = core_of(env).commands
        return [*commands, *(f"command {number}" for number in range(len(commands), NUM_SLOTS))]

    def observation(self, env: Environment, agent: str) -> str:
        """Where the agent is, and what it has done so far in points."""
        core = core_of(env)
        return f"Step {core.num_steps + 1}. You are in the {core.room}. Score: {core.score} of {core.max_score}."

    def action_texts(self, env: Environment, agent: str) -> list[str]:
        """None: the commands say it."""
        return [""] * NUM_SLOTS

    def vary_hidden(self, env: Environment, agent: str, random: Random) -> bool:
        """Take away a thing that was not seen yet."""
        return core_of(env).vary_unseen(random)


def core_of(env: Environment) -> "TextWorldCore":
    """The game behind an environment; raises WrongEnvironment."""
    core = getattr(env.unwrapped, "core", None)
    if core is None or core.name != "textworld":
        raise WrongEnvironment("textworld", str(env.unwrapped))
    return core  # type: ignore[no-any-return]
