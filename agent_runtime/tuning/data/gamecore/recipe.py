"""Gamecore's samples: a land, cut into blocks by the game's folder, and questions about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from random import Random
from types import MappingProxyType
from typing import Any, ClassVar, Literal, get_args

from agent_runtime.tuning.data.asking import (
    Question,
    QuestionMaker,
    QuestionRecipe,
    Weights,
    alike,
    draw_question,
    draw_questions,
)
from agent_runtime.tuning.data.gamecore import questions
from agent_runtime.tuning.data.gamecore.decisions import decision, errand, linked_errand, rules_errand
from agent_runtime.tuning.data.gamecore.land import SMALLEST_LAND, make_land
from agent_runtime.tuning.data.gamecore.links import Drawn
from agent_runtime.tuning.data.gamecore.questions import Asker
from agent_runtime.tuning.data.gamecore.renaming import renamed
from agent_runtime.tuning.data.generating import check_range, game_of
from agent_runtime.tuning.data.names import Manner
from agent_runtime.tuning.errors import BadArgument, not_each_once
from agent_runtime.tuning.samples import Split
from prompts import Game

KINDS: Mapping[str, Asker] = MappingProxyType(
    {
        "unit_fact": questions.unit_fact,
        "reverse": questions.reverse,
        "rules_and_unit": questions.rules_and_unit,
        "linked": questions.linked,
        "comparison": questions.comparison,
        "counting": questions.counting,
        "decision": decision,
        "errand": errand,
        "rules_errand": rules_errand,
        "linked_errand": linked_errand,
        "quest": questions.quest,
        "new_link": questions.new_link,
    }
)
Writing = Literal["prose", "json", "renamed", "lines"]
_TEMPLATES: Mapping[Writing, str | None] = MappingProxyType({"json": None, "renamed": None, "lines": "lines.md"})
HELD_OUT = "quest"
NEW_LINK = "new_link"
MOST_BLOCKS = 400
_LEAST_TOKENS, _MOST_TOKENS = 30, 120


@dataclass(frozen=True, slots=True)
class GameCore(QuestionRecipe):
    """What to generate. `blocks` (the number of a sample, anchor not counted) and `block_tokens` are ranges.

    Sizes are drawn so that small ones are as frequent as large ones (log-uniform); `kinds` are kinds of questions with
    their weights, empty for all alike. The kind `quest` is held out: it is asked for in no split called train. `names`
    of things and records are like those of train or, in the other splits, unlike any of them. With `links` new, which
    is not for train either, lands have links whose labels no land of train has, and the kind `new_link`, which is
    asked nowhere else, is all that is asked if `kinds` say nothing. `writing` are the
    ways that records are written in, a sample in one of them: `prose`, by the templates of the game's folder; `json`,
    as a game without templates has them; `renamed`, as JSON with other names for most fields; `lines`, a line a field.
    All but prose take more tokens to say as much. `bare_quests` is the share of lands of train whose quests have
    neither hero nor goal: a field that is always there and never asked for teaches to pass it over, and not what it is
    to meet one that nobody ever asked for. Nothing is decided by quests there, so the kind `decision` is not asked.
    """

    seed: int = 0
    split: Split = "train"
    blocks: tuple[int, int] = (SMALLEST_LAND, 300)
    block_tokens: tuple[int, int] = (33, 33)
    asks: int = 16
    kinds: Weights = ()
    names: Manner = "like"
    writing: tuple[Writing, ...] = ("prose",)
    bare_quests: float = 0.0
    links: Drawn = "known"
    name: str = field(default="gamecore", init=False)

    sizes: ClassVar = (SMALLEST_LAND, MOST_BLOCKS)
    askers: ClassVar = KINDS

    @property
    def held_out(self) -> tuple[str, ...]:
        """The kinds of questions that are asked in no split called train, if these lands have what they ask about."""
        return (HELD_OUT, NEW_LINK) if self.links == "new" else (HELD_OUT,)

    def arguments(self) -> dict[str, Any]:
        """All that a sample depends on besides seed, split and its number."""
        said = QuestionRecipe.arguments(self)
        # As in files of before there was anything else: their samples stay what they were.
        if self.writing == ("prose",):
            del said["writing"]
        if not self.bare_quests:
            del said["bare_quests"]
        if self.links == "known":
            del said["links"]
        return said

    def games(self) -> tuple[Game, ...]:
        """The games that cut the samples, each sample by one of them."""
        prose = game_of(self.name)
        return tuple([prose if way == "prose" else prose.written_by(_TEMPLATES[way]) for way in self.writing])

    def shown(self, random: Random, number: int, state: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a state as it is shown where the game of that number cuts it."""
        return renamed(random, state) if self.writing[number] == "renamed" else state

    def weights(self) -> Weights:
        """The kinds to ask, with their weights."""
        if self.links == "new":
            return self.kinds or alike([NEW_LINK])
        return self.kinds or alike(
            kind for kind in KINDS if kind != NEW_LINK and (kind != HELD_OUT or self.split != "train")
        )

    def _without_decisions(self) -> Weights:
        return tuple((kind, weight) for kind, weight in self.weights() if kind != "decision")

    def maker(self) -> QuestionMaker:
        """Return what makes the samples. Raises BadArgument."""
        check_range("block_tokens", self.block_tokens, _LEAST_TOKENS, _MOST_TOKENS)
        if self.names not in get_args(Manner):
            raise BadArgument("names", f"{self.names!r} is neither like nor unlike.")
        if (wrong := not_each_once(self.writing, get_args(Writing))) is not None:
            raise BadArgument("writing", f"{wrong}.")
        if not 0 <= self.bare_quests <= 1:
            raise BadArgument("bare_quests", f"{self.bare_quests} is no share from 0 to 1.")
        if self.bare_quests and self.split != "train":
            raise BadArgument("bare_quests", f"{HELD_OUT!r} asks what bare quests do not have: they are for train.")
        if self.bare_quests and not self._without_decisions():
            raise BadArgument("bare_quests", "Nothing is decided by bare quests: ask for another kind than decision.")
        if self.split == "train" and self.names == "unlike":
            raise BadArgument("names", "Unlike names are unlike those of train: they are for validation and test.")
        if self.links not in get_args(Drawn):
            raise BadArgument("links", f"{self.links!r} is neither known nor new.")
        if self.split == "train" and self.links == "new":
            raise BadArgument("links", "New links are those that train has none of: they are for validation and test.")
        if self.links == "known" and any(kind == NEW_LINK for kind, _ in self.weights()):
            raise BadArgument("kinds", f"{NEW_LINK!r} asks about new links, and these lands have known ones.")
        if self.split == "train" and any(kind == HELD_OUT for kind, _ in self.weights()):
            raise BadArgument("kinds", f"{HELD_OUT!r} is held out: it is asked in validation and test, never in train.")
        return QuestionRecipe.maker(self)

    def draw(self, random: Random, size: int) -> tuple[dict[str, Any], list[tuple[str, Question]]]:
        """Return the state of a land of `size` blocks, and questions about it with their kinds."""
        weights, tokens = self.weights(), random.uniform(*self.block_tokens)
        is_bare = bool(self.bare_quests) and random.random() < self.bare_quests
        if is_bare:
            weights = self._without_decisions()
        questions: list[tuple[str, Question]] = []
        while not questions:  # in a land of three units all may have one weapon
            land = make_land(random, self.split, size, tokens, self.names, self.links)
            if is_bare:
                for record in land.state["quests"]:
                    del record["hero"], record["to"]
            questions = draw_questions(self.asks, partial(draw_question, random, weights, KINDS, land))
        return land.state, questions
