"""Pieces of advice on how a game cuts its state, and what they are made of."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agent_runtime.designer.course import Costs, Family
from prompts import Game
from prompts.game_toml import GameToml
from prompts.rules import LiveRule, SegmentRule

Kind = Literal[
    "live", "order", "split", "group", "key", "rest", "unused", "max_tokens", "context", "hidden_live", "warning", "few"
]


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing to do or to know. `toml` is what to write into game.toml; `place` is the rule that it is about.

    `before` and `after` are what a turn costs on these frames without and with it, where it could be tried.
    """

    kind: Kind
    about: str
    sentence: str
    toml: str | None = None
    place: str | None = None
    before: Costs | None = None
    after: Costs | None = None

    @property
    def saved(self) -> float:
        """The tokens that it saves a turn, in the mode that it helps most."""
        if self.before is None or self.after is None:
            return 0.0
        return max(
            self.before.blocks_mode - self.after.blocks_mode, self.before.prefix_mode - self.after.prefix_mode, 0.0
        )


@dataclass(frozen=True, slots=True)
class Advices:
    """All advice on a course, what saves most first, and what following all that was tried would cost."""

    pieces: tuple[Advice, ...]
    before: Costs
    after: Costs | None


class Rules:
    """A game's rules, and where in game.toml each is written."""

    def __init__(self, game: Game) -> None:
        self._game = game
        self._tables = GameToml(game.folder / "game.toml")

    def of(self, family: Family) -> SegmentRule:
        """The rule that made a family's blocks."""
        return self._game.cutting.segment(family.rule)

    def place(self, family: Family, key: str = "match") -> str | None:
        """Where it is written; None for what no rule took."""
        if family.is_rest:
            return None
        return _place_of(self._tables.segments[family.rule - self._game.cutting.num_live].place(key))

    def with_places(self) -> Iterator[tuple[LiveRule | SegmentRule, str]]:
        """All rules in the order in which they are tried, each with its place."""
        rules: tuple[LiveRule | SegmentRule, ...] = (*self._game.live_rules, *self._game.segment_rules)
        for rule, table in zip(rules, (*self._tables.live, *self._tables.segments), strict=True):
            yield rule, _place_of(table.place("match"))


def share(family: Family) -> str:
    """How often its parts changed, in words."""
    if len(family.all_parts) == 1:
        return f"{family.changes} of {family.chances} frames"
    percent = 100 * family.changes / max(1, family.chances)
    return f"{percent:.0f} % of {family.chances} chances ({len(family.all_parts)} parts)"


def _place_of(place: tuple[Path, int | None]) -> str:
    file, line = place
    return f"{file}:{line}" if line is not None else str(file)
