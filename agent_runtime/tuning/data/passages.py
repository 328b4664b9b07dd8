"""Questions over retrieved passages (RAG in small): 10 to 60 passages, one block each, about made-up people and things.

    kind                 what it needs                          target
    passage_fact         one passage, by what it is about       1834
    passage_reverse      one passage, by what it tells          Banor Kazi
    passage_linked       two passages, one naming the other     Banor Kazi; 1834
    passage_comparison   two passages                           Banor Kazi 1834, Lin Dorel 1790; Lin Dorel

What the passages tell: `shelf.py`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from random import Random
from types import MappingProxyType
from typing import Any, ClassVar

from agent_runtime.tuning.data.asking import Question, QuestionRecipe, Weights, draw_question, draw_questions
from agent_runtime.tuning.data.shelf import Shelf, make_shelf, passage
from agent_runtime.tuning.samples import Split

FEWEST, MOST = 10, 60

FACTS: Mapping[str, str] = {
    "born": "In which year was {} born?",
    "home": "Where did {} grow up?",
    "trade": "What was the trade of {}?",
    "teacher": "Who taught {}?",
    "friend": "To whom did {} write letters?",
    "founded": "In which year was {} founded?",
    "known_for": "What is {} known for?",
    "mayor": "Who is the mayor of {}?",
    "market": "To which town do the goods of {} go?",
    "founder": "Who founded {}?",
    "seat": "Where is the seat of {}?",
    "opened": "In which year did {} open?",
    "makes": "What does {} make?",
    "author": "Who is the author of {}?",
    "printed": "In which year was {} printed?",
    "topic": "What is {} about?",
    "printer": "Which firm printed {}?",
}
REVERSED: Mapping[str, str] = {
    "home": "Who grew up in {}?",
    "teacher": "Whom did {} teach?",
    "friend": "Who wrote letters to {}?",
    "mayor": "Of which town is {} the mayor?",
    "founder": "Which firm did {} found?",
    "seat": "Which firm has its seat in {}?",
    "author": "Which book did {} write?",
    "printer": "Which book was printed by {}?",
}
# What leads to a person, a town or a firm, and how the one it leads to is called in a question.
LINKS: Mapping[str, str] = {
    "home": "the town where {} grew up",
    "teacher": "the teacher of {}",
    "mayor": "the mayor of {}",
    "founder": "the founder of {}",
    "seat": "the town where {} has its seat",
    "author": "the author of {}",
    "printer": "the firm that printed {}",
}
_COMPARED: Mapping[str, str] = {
    "born": "Who was born earlier, {} or {}?",
    "founded": "Which town is older, {} or {}?",
    "printed": "Which book was printed earlier, {} or {}?",
}


def fact(random: Random, shelf: Shelf) -> Question | None:
    """One passage, by what it is about."""
    name, record = random.choice(list(shelf.records.items()))
    relation = random.choice([relation for relation in record if relation != "kind"])
    return Question(FACTS[relation].format(name), record[relation], 1 / len(shelf.values[relation]))


def reverse(random: Random, shelf: Shelf) -> Question | None:
    """One passage, by what only it tells."""
    relation = random.choice(list(REVERSED))
    told = [name for name, record in shelf.records.items() if relation in record]
    only = [name for name in told if shelf.values[relation][shelf.records[name][relation]] == 1]
    if not only:
        return None
    name = random.choice(only)
    return Question(REVERSED[relation].format(shelf.records[name][relation]), name, 1 / len(told))


def linked(random: Random, shelf: Shelf) -> Question | None:
    """Two passages, of which the first names what the second is about."""
    link = random.choice(list(LINKS))
    told = [name for name, record in shelf.records.items() if link in record]
    if not told:
        return None
    name = random.choice(told)
    other = shelf.records[name][link]
    relation = random.choice([relation for relation in shelf.records[other] if relation != "kind"])
    text = FACTS[relation].format(LINKS[link].format(name))
    return Question(text, f"{other}; {shelf.records[other][relation]}", 1 / len(shelf.values[relation]))


def comparison(random: Random, shelf: Shelf) -> Question | None:
    """Two passages, and which of two years is earlier."""
    relation = random.choice(list(_COMPARED))
    told = [name for name, record in shelf.records.items() if relation in record]
    if len(told) < 2:
        return None
    pair = random.sample(told, 2)
    years = [shelf.records[name][relation] for name in pair]
    if years[0] == years[1]:
        return None
    steps = ", ".join([f"{name} {year}" for name, year in zip(pair, years, strict=True)])
    return Question(_COMPARED[relation].format(*pair), f"{steps}; {pair[years[1] < years[0]]}", 1 / 2)


KINDS: Mapping[str, Callable[[Random, Shelf], Question | None]] = MappingProxyType(
    {
        "passage_fact": fact,
        "passage_reverse": reverse,
        "passage_linked": linked,
        "passage_comparison": comparison,
    }
)


@dataclass(frozen=True, slots=True)
class Passages(QuestionRecipe):
    """What to generate. `blocks` is a range, one passage each, sizes drawn log-uniformly; `kinds` with weights."""

    seed: int = 0
    split: Split = "train"
    blocks: tuple[int, int] = (FEWEST, MOST)
    asks: int = 16
    kinds: Weights = ()
    name: str = field(default="passages", init=False)

    sizes: ClassVar = (FEWEST, MOST)
    askers: ClassVar = KINDS

    def draw(self, random: Random, size: int) -> tuple[dict[str, Any], list[tuple[str, Question]]]:
        """Return a state of `size` passages, and questions about them with their kinds."""
        weights = self.weights()
        questions: list[tuple[str, Question]] = []
        while not questions:  # in a few passages there may be nothing that only one of them tells
            shelf = make_shelf(random, self.split, size)
            questions = draw_questions(self.asks, partial(draw_question, random, weights, KINDS, shelf))
        told = [
            {"id": str(place), "title": name, "text": passage(random, name, record)}
            for place, (name, record) in enumerate(shelf.records.items(), 1)
        ]
        return {"passages": told}, questions
