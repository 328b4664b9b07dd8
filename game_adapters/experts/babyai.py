"""BabyAI's own bot. It plans on what the agent has seen so far, and goes to look where it has not.

The bot has a memory, so it is led along a game of its own, made from the seed and the actions of the one in question.
"""

import weakref
from dataclasses import dataclass, field
from typing import Any

from minigrid.utils.baby_ai_bot import BabyAIBot

from game_adapters.babyai import ACTIONS, core_of
from game_adapters.babyai_core import BabyAICore
from game_adapters.environments import Environment
from game_adapters.errors import ExpertLost


@dataclass(eq=False)
class _Twin:
    """The same game, played along, and the bot in it."""

    seed: int
    core: BabyAICore
    bot: Any
    actions: list[int] = field(default_factory=list)
    advice: int | None = None


class BabyAIExpert:
    """Does what the bot suggests."""

    def __init__(self, seed: int = 0) -> None:
        self._twins: weakref.WeakKeyDictionary[Any, _Twin] = weakref.WeakKeyDictionary()

    def choose(self, env: Environment, agent: str) -> int:
        """The suggestion's number."""
        core, game = core_of(env), env.unwrapped
        twin = self._twins.get(game)
        if twin is None or twin.seed != game.seed or twin.actions != game.actions[: len(twin.actions)]:
            twin = self._twins[game] = _begin(core, game.seed)
        for action in game.actions[len(twin.actions) :]:
            twin.core.act(action)
            twin.actions.append(action)
            twin.advice = _advice(twin, action)
        if twin.advice is None or twin.advice not in core.legal():
            said = "none" if twin.advice is None else ACTIONS[twin.advice] if twin.advice < len(ACTIONS) else "done"
            raise ExpertLost("babyai", f"the bot's suggestion is {said}")
        return twin.advice


def _begin(core: BabyAICore, seed: int) -> _Twin:
    same = BabyAICore(core.level, core.steps)
    same.begin(seed)
    twin = _Twin(seed, same, BabyAIBot(same.grid))
    twin.advice = _advice(twin, None)
    return twin


def _advice(twin: _Twin, done: int | None) -> int | None:
    """What the bot suggests after an action; a plan that the action has broken is made anew, from what was seen."""
    actions = twin.core.grid.actions
    if twin.core.is_over:
        return None
    try:
        return int(twin.bot.replan(None if done is None else actions(done)))
    except Exception:  # the bot asserts what only holds while it is obeyed
        seen = twin.bot.vis_mask
        try:
            twin.bot = BabyAIBot(twin.core.grid)
            twin.bot.vis_mask = seen
            return int(twin.bot.replan())
        except Exception:
            return None
