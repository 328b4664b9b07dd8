"""Questions, and samples made of them: the observation is put together as the runtime puts it together."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from random import Random
from typing import Any, ClassVar, TypeVar

from agent_runtime.tuning.data.generating import Recipe, blocks_of, check_range, check_split, game_of, random_of
from agent_runtime.tuning.errors import BadArgument
from agent_runtime.tuning.samples import Ask, Sample, Split
from prompts import Game, ObservationInput, assemble

Weights = tuple[tuple[str, float], ...]
About = TypeVar("About")

# Draws for each question wanted: of a small state there may not be so many different ones.
_DRAWS = 4
_MOST_ASKS = 10_000
# Fields of a recipe that are no arguments: they stand beside them.
_NO_ARGUMENTS = ("name", "seed", "split")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked and what is to be written; the answer is the target's part behind the last "; "."""

    text: str
    target: str
    chance: float
    actions: tuple[str, ...] = ()


class QuestionRecipe(ABC):
    """A recipe of states of some number of blocks, with questions of some kinds about each.

    Those who inherit are frozen dataclasses with these fields and any of their own, and say what can be asked for. The
    states are those of the game in the folder that is named like the recipe, if they say nothing else.
    """

    __slots__ = ()

    name: str
    seed: int
    split: Split
    blocks: tuple[int, int]
    asks: int
    kinds: Weights

    sizes: ClassVar[tuple[int, int]]
    """The fewest and the most blocks of a sample."""
    askers: ClassVar[Mapping[str, Any]]
    """All kinds of questions that there are, by name."""

    @property
    def held_out(self) -> tuple[str, ...]:
        """Those that are asked in no split called train."""
        return ()

    @abstractmethod
    def draw(self, random: Random, size: int) -> tuple[Mapping[str, Any], Sequence[tuple[str, Question]]]:
        """Return a state of `size` blocks, and different questions about it with their kinds: at least one."""

    def arguments(self) -> dict[str, Any]:
        """All that a sample depends on besides seed, split and its number."""
        own = [each.name for each in fields(self) if each.name not in _NO_ARGUMENTS]  # type: ignore[arg-type]
        said = {name: getattr(self, name) for name in own}
        said = {name: list(value) if isinstance(value, tuple) else value for name, value in said.items()}
        # Files without "names" are older: names in their train may be those of a test today.
        return {"names": "like", **said, "kinds": dict(self.weights())}

    def weights(self) -> Weights:
        """The kinds to ask, with their weights."""
        return self.kinds or alike(self.askers)

    def games(self) -> tuple[Game, ...]:
        """The games that cut the samples, each sample by one of them."""
        return (game_of(self.name),)

    def shown(self, random: Random, number: int, state: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a state as it is shown where the game of that number cuts it."""
        return state

    def maker(self) -> "QuestionMaker":
        """Return what makes the samples. Raises BadArgument."""
        check_split(self.split)
        check_range("blocks", self.blocks, *self.sizes)
        check_range("asks", (1, self.asks), 1, _MOST_ASKS)
        check_kinds(self.weights(), self.askers)
        return QuestionMaker(self)


class QuestionMaker:
    """Makes the samples of a recipe."""

    def __init__(self, recipe: QuestionRecipe) -> None:
        self._recipe = recipe
        self.games = recipe.games()

    def sample(self, number: int) -> Sample:
        """Return a sample, which depends on the recipe and the number alone."""
        random = random_of(self._recipe, number)
        which = random.randrange(len(self.games)) if len(self.games) > 1 else 0
        state, questions = self._recipe.draw(random, size_of(random, self._recipe.blocks))
        return sample_of(self._recipe, self.games[which], self._recipe.shown(random, which, state), questions)


def sample_of(
    recipe: Recipe, game: Game, state: Mapping[str, Any], questions: Iterable[tuple[str, Question]]
) -> Sample:
    """Return a state, cut as the runtime cuts it, and questions about it."""
    cut = blocks_of(game, state)
    return Sample(
        game=game.name,
        family=recipe.name,
        split=recipe.split,
        seed=recipe.seed,
        anchor=game.anchor.text,
        blocks=tuple([(block.name, block.text) for block in cut.blocks]),
        asks=tuple([ask_of(game, kind, question, cut.live) for kind, question in questions]),
    )


def alike(kinds: Iterable[str]) -> Weights:
    """Return kinds of which each is as likely as the others."""
    return tuple((kind, 1.0) for kind in kinds)


def draw_kind(random: Random, weights: Weights) -> str:
    """Return one of some kinds."""
    [kind] = random.choices([kind for kind, _ in weights], [weight for _, weight in weights])
    return kind


def draw_question(
    random: Random, weights: Weights, askers: Mapping[str, Callable[[Random, About], Question | None]], about: About
) -> tuple[str, Question | None]:
    """Return a kind and a question of it, None where there was none to be found."""
    kind = draw_kind(random, weights)
    return kind, askers[kind](random, about)


def draw_questions(count: int, draw: Callable[[], tuple[str, Question | None]]) -> list[tuple[str, Question]]:
    """Return up to `count` different questions with their kinds, from as many draws as that takes within reason.

    One that a blind guess answers, as there is nothing else to answer, is left out.
    """
    found: dict[str, tuple[str, Question]] = {}
    for _ in range(_DRAWS * count):
        kind, question = draw()
        if question is not None and question.chance < 1:
            found.setdefault(question.text, (kind, question))
        if len(found) == count:
            break
    return list(found.values())


def ask_of(game: Game, kind: str, question: Question, live: Mapping[str, Any]) -> Ask:
    """Return a question as the game's observation template asks it."""
    shown = ObservationInput(question.text, live, [(action, "") for action in question.actions])
    prompt = assemble(game, persona=None, state=(), private=(), history=(), observation=shown)
    answer = question.target.rpartition("; ")[2]
    return Ask(prompt.observation, question.target, answer, kind, question.actions, question.chance)


def size_of(random: Random, sizes: tuple[int, int]) -> int:
    """Return a size within a range, small ones as often as large ones (log-uniform)."""
    low, high = sizes
    return min(high, int(math.exp(random.uniform(math.log(low), math.log(high + 1)))))


def check_kinds(weights: Weights, known: Mapping[str, Any]) -> None:
    """Raise BadArgument for kinds that there are not, and for weights that are none."""
    for kind, weight in weights:
        if kind not in known:
            raise BadArgument("kinds", f"{kind!r} is none of {', '.join(known)}.")
        if not (math.isfinite(weight) and weight > 0):
            raise BadArgument("kinds", f"the weight of {kind!r} must be above 0.")
