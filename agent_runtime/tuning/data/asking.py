"""Questions, and asks made of them: the observation is put together as the runtime puts it together."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from agent_runtime.tuning.errors import BadArgument
from agent_runtime.tuning.samples import Ask
from prompts import Game, ObservationInput, assemble

# Draws for each question wanted: of a small state there may not be so many different ones.
_DRAWS = 4


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked and what is to be written; the answer is the target's part behind the last "; "."""

    text: str
    target: str
    chance: float
    actions: tuple[str, ...] = ()


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


def check_kinds(weights: tuple[tuple[str, float], ...], known: Mapping[str, Any]) -> None:
    """Raise BadArgument for kinds that there are not, and for weights that are none."""
    for kind, weight in weights:
        if kind not in known:
            raise BadArgument("kinds", f"{kind!r} is none of {', '.join(known)}.")
        if not (math.isfinite(weight) and weight > 0):
            raise BadArgument("kinds", f"the weight of {kind!r} must be above 0.")
