"""Changes of a game's rules, tried on the very frames of a course before any advice is given."""

from collections.abc import Sequence
from dataclasses import replace

from agent_runtime.designer.advice import Rules
from agent_runtime.designer.course import Costs, Course
from agent_runtime.designer.errors import BadStates
from agent_runtime.designer.reckoning import costs_under
from agent_runtime.designer.rule_changes import Change
from agent_runtime.designer.tokens import TokenCounter
from prompts import Game
from prompts.rules import CuttingRules

# Fewer changes than this say nothing about what is usual.
LEAST_CHANCES = 3
# What is worth saying: a share of the tokens, and so many at least.
_WORTH_SHARE, _WORTH_TOKENS = 0.05, 8.0
# Of a change under which the game's own templates fail.
_BEYOND_REASON = Costs(*[float("inf")] * 5)


class Trials:
    """Tries changes, and remembers those that were advised: `now_live` is what they make live."""

    def __init__(self, course: Course, counter: TokenCounter) -> None:
        self.course = course
        self.rules = Rules(course.game)
        self.before = course.costs
        self.num_frames = len(course.frames)
        self.now_live: set[str] = set()
        self._counter = counter
        self._advised: list[Change] = []

    def costs(self, *changes: Change) -> Costs:
        """What a turn costs under changed rules; infinitely much if the game breaks under them."""
        game = self.course.game
        live, segments = game.live_rules, game.segment_rules
        for change in changes:
            live, segments = change(live, segments)
        under: Game = replace(game, live_rules=live, segment_rules=segments, cutting=CuttingRules(live, segments))
        try:
            return costs_under(under, self.course.file, self._counter, self.course.sight)
        except BadStates:
            # The frames are sound, so it is the change: it takes away what a template shows.
            return _BEYOND_REASON

    def is_worse(self, after: Costs) -> bool:
        """Whether a turn costs more than before, in any mode."""
        before = self.before
        return after.blocks_mode > 1.02 * before.blocks_mode + 4 or after.prefix_mode > 1.02 * before.prefix_mode + 4

    def advised(self, change: Change, now_live: Sequence[str] = ()) -> None:
        """Remember a change that is given as advice."""
        self._advised.append(change)
        self.now_live.update(now_live)

    def together(self) -> Costs | None:
        """What a turn costs once all that was advised is done; None if those are less than two, or break the game."""
        if len(self._advised) < 2:
            return None
        costs = self.costs(*self._advised)
        return None if costs is _BEYOND_REASON else costs


def is_worth(before: float, after: float) -> bool:
    """Whether so many tokens less are worth saying."""
    return before - after >= max(_WORTH_TOKENS, _WORTH_SHARE * before)
