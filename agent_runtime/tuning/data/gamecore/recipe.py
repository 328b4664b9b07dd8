"""Gamecore's samples: a land, cut into blocks by the game's folder, and questions about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from random import Random
from types import MappingProxyType
from typing import Any

from agent_runtime.tuning.data.asking import Question, ask_of, check_kinds, draw_questions, size_of
from agent_runtime.tuning.data.gamecore import questions
from agent_runtime.tuning.data.gamecore.decisions import decision
from agent_runtime.tuning.data.gamecore.land import SMALLEST_LAND, Land, make_land
from agent_runtime.tuning.data.gamecore.questions import Asker
from agent_runtime.tuning.data.generating import blocks_of, check_range, check_split, game_of, random_of
from agent_runtime.tuning.errors import BadArgument
from agent_runtime.tuning.samples import Sample, Split
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
        "quest": questions.quest,
    }
)
HELD_OUT = "quest"
MOST_BLOCKS = 400
_LEAST_TOKENS, _MOST_TOKENS = 30, 120


@dataclass(frozen=True, slots=True)
class GameCore:
    """What to generate. `blocks` (the number of a sample, anchor not counted) and `block_tokens` are ranges.

    Sizes are drawn so that small ones are as frequent as large ones (log-uniform); `kinds` are kinds of questions with
    their weights, empty for all alike. The kind `quest` is held out: it is asked for in no split called train.
    """

    seed: int = 0
    split: Split = "train"
    blocks: tuple[int, int] = (SMALLEST_LAND, 300)
    block_tokens: tuple[int, int] = (33, 33)
    asks: int = 16
    kinds: tuple[tuple[str, float], ...] = ()
    name: str = field(default="gamecore", init=False)

    def arguments(self) -> dict[str, Any]:
        """All that a sample depends on besides seed, split and its number."""
        return {
            "blocks": list(self.blocks),
            "block_tokens": list(self.block_tokens),
            "asks": self.asks,
            "kinds": dict(self.weights()),
        }

    def weights(self) -> tuple[tuple[str, float], ...]:
        """The kinds to ask, with their weights."""
        return self.kinds or tuple((kind, 1.0) for kind in KINDS if kind != HELD_OUT or self.split != "train")

    def maker(self) -> "GameCoreMaker":
        """Return what makes the samples. Raises BadArgument."""
        check_split(self.split)
        check_range("blocks", self.blocks, SMALLEST_LAND, MOST_BLOCKS)
        check_range("block_tokens", self.block_tokens, _LEAST_TOKENS, _MOST_TOKENS)
        check_range("asks", (1, self.asks), 1, 10_000)
        check_kinds(self.weights(), KINDS)
        if self.split == "train" and any(kind == HELD_OUT for kind, _ in self.weights()):
            raise BadArgument("kinds", f"{HELD_OUT!r} is held out: it is asked in validation and test, never in train.")
        return GameCoreMaker(self, game_of("gamecore"))


class GameCoreMaker:
    """Makes the samples of a recipe."""

    def __init__(self, recipe: GameCore, game: Game) -> None:
        self._recipe = recipe
        self.games = (game,)
        self._kinds = [kind for kind, _ in recipe.weights()]
        self._weights = [weight for _, weight in recipe.weights()]

    def sample(self, number: int) -> Sample:
        """Return a sample, which depends on the recipe and the number alone."""
        recipe, [game] = self._recipe, self.games
        random = random_of(recipe, number)
        size, tokens = size_of(random, recipe.blocks), random.uniform(*recipe.block_tokens)
        questions: list[tuple[str, Question]] = []
        while not questions:  # in a land of three units all may have one weapon
            land = make_land(random, recipe.split, size, tokens)
            questions = draw_questions(recipe.asks, partial(self._question, random, land))
        cut = blocks_of(game, land.state)
        return Sample(
            game=game.name,
            family=recipe.name,
            split=recipe.split,
            seed=recipe.seed,
            anchor=game.anchor.text,
            blocks=tuple([(block.name, block.text) for block in cut.blocks]),
            asks=tuple([ask_of(game, kind, question, cut.live) for kind, question in questions]),
        )

    def _question(self, random: Random, land: Land) -> tuple[str, Question | None]:
        [kind] = random.choices(self._kinds, self._weights)
        return kind, KINDS[kind](random, land)
