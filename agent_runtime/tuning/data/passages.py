"""Questions over retrieved passages (RAG in small): 10 to 60 passages, one block each, about made-up people and things.

    kind                 what it needs                          target
    passage_fact         one passage, by what it is about       1834
    passage_reverse      one passage, by what it tells          Banor Kazi
    passage_linked       two passages, one naming the other     Banor Kazi; 1834
    passage_comparison   two passages                           Banor Kazi 1834, Lin Dorel 1790; Lin Dorel

What passages tell is said in several ways, and the same names and years come up in many of them.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from random import Random
from types import MappingProxyType
from typing import Any, ClassVar

from agent_runtime.tuning.data.asking import Question, QuestionRecipe, Weights, draw_question, draw_questions
from agent_runtime.tuning.data.names import names, things
from agent_runtime.tuning.samples import Split

Record = dict[str, str]

FEWEST, MOST = 10, 60

TRADES = ("baker", "doctor", "lawyer", "painter", "pilot", "poet", "sailor", "singer", "smith", "weaver")
PRODUCTS = ("boats", "bricks", "carpets", "clocks", "glass", "lamps", "paper", "pottery", "shoes", "tools")
TOPICS = ("a flood", "a journey", "a lost son", "a war", "an island", "bees", "old songs", "the stars", "two sisters")

# Each relation of each kind of thing: what is told of it, {s} of the one and {o} of the other, and what is asked.
FORMS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "person": {
        "born": ("{s} was born in the year {o}.", "The year of {s}'s birth is {o}.", "In {o} {s} was born."),
        "home": ("{s} grew up in {o}.", "The childhood of {s} was spent in {o}.", "{o} is where {s} grew up."),
        "trade": ("{s} worked as a {o}.", "By trade {s} was a {o}.", "Most people knew {s} as a {o}."),
        "teacher": ("{s} was taught by {o}.", "The teacher of {s} was {o}.", "{o} had {s} as a pupil."),
        "friend": ("{s} wrote letters to {o}.", "Letters from {s} to {o} have survived.", "{o} got letters from {s}."),
    },
    "town": {
        "founded": ("{s} was founded in {o}.", "The foundation of {s} was in {o}.", "Since {o} there has been {s}."),
        "known_for": ("{s} is known for its {o}.", "The {o} of {s} are sold everywhere.", "People go to {s} for {o}."),
        "mayor": ("The mayor of {s} is {o}.", "{s} chose {o} as its mayor.", "{o} is mayor of {s}."),
        "market": ("{s} sends its goods to {o}.", "The goods of {s} go to {o}.", "{o} buys the goods of {s}."),
    },
    "firm": {
        "founder": ("{s} was founded by {o}.", "The founder of {s} was {o}.", "{o} founded {s}."),
        "seat": ("{s} has its seat in {o}.", "The seat of {s} is {o}.", "In {o} lies the seat of {s}."),
        "opened": ("{s} opened in {o}.", "The doors of {s} opened in {o}.", "In {o} began the history of {s}."),
        "makes": ("{s} makes {o}.", "What {s} makes is {o}.", "One buys {o} from {s}."),
    },
    "book": {
        "author": ("{s} was written by {o}.", "The author of {s} is {o}.", "{o} wrote {s}."),
        "printed": ("{s} was printed in {o}.", "The first print of {s} is from {o}.", "In {o} appeared {s}."),
        "topic": ("{s} is about {o}.", "The story of {s} is that of {o}.", "In {s} one reads of {o}."),
        "printer": ("{s} was printed by {o}.", "The printer of {s} was {o}.", "{o} printed {s}."),
    },
}  # fmt: skip
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


@dataclass(frozen=True)
class Shelf:
    """What all passages of a sample tell: records by the name of what they are about, each with its `kind`."""

    records: Mapping[str, Record]

    @cached_property
    def values(self) -> Mapping[str, Counter[str]]:
        """How often each value of a relation is told."""
        found: dict[str, Counter[str]] = {}
        for record in self.records.values():
            for relation, value in record.items():
                found.setdefault(relation, Counter())[value] += 1
        return found


def make_shelf(random: Random, split: Split, count: int) -> Shelf:
    """Return what `count` passages tell."""
    num_towns = num_firms = num_books = count // 5
    people = _people(random, split, count - num_towns - num_firms - num_books)
    towns = names(random, split, num_towns)
    firms = [f"{name} {random.choice(('Works', 'Company', 'House'))}" for name in names(random, split, num_firms)]
    books = [f"The {each.replace('-', ' ').title()}" for each in things(random, split, num_books)]
    records: dict[str, Record] = {}
    for person in people:
        records[person] = {
            "kind": "person",
            "born": _year(random),
            "home": random.choice(towns),
            "trade": random.choice(TRADES),
            "teacher": _other(random, people, person),
            "friend": _other(random, people, person),
        }
    for town, mayor in zip(towns, random.sample(people, len(towns)), strict=True):
        records[town] = {
            "kind": "town",
            "founded": _year(random),
            "known_for": random.choice(PRODUCTS),
            "mayor": mayor,
            "market": _other(random, towns, town),
        }
    for firm, founder in zip(firms, random.sample(people, len(firms)), strict=True):
        records[firm] = {
            "kind": "firm",
            "founder": founder,
            "seat": random.choice(towns),
            "opened": _year(random),
            "makes": random.choice(PRODUCTS),
        }
    for book, author in zip(books, random.sample(people, len(books)), strict=True):
        records[book] = {
            "kind": "book",
            "author": author,
            "printed": _year(random),
            "topic": random.choice(TOPICS),
            "printer": random.choice(firms),
        }
    for record in records.values():  # no passage tells all
        relations = [relation for relation in record if relation != "kind"]
        for relation in random.sample(relations, random.randint(0, len(relations) - 3)):
            del record[relation]
    return Shelf(dict(random.sample(list(records.items()), len(records))))


def passage(random: Random, name: str, record: Record) -> str:
    """Return what is told of one thing, in sentences of any order and form."""
    forms = FORMS[record["kind"]]
    told = [(relation, value) for relation, value in record.items() if relation != "kind"]
    return " ".join(
        [random.choice(forms[relation]).format(s=name, o=value) for relation, value in random.sample(told, len(told))]
    )


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


def _people(random: Random, split: Split, count: int) -> list[str]:
    """Different people, who share first names and family names."""
    first, last = names(random, split, 4 + count // 3), names(random, split, 4 + count // 2)
    every = [f"{one} {other}" for one in first for other in last if one != other]
    return random.sample(every, count)


def _other(random: Random, every: list[str], own: str) -> str:
    while (found := random.choice(every)) == own:
        pass
    return found


def _year(random: Random) -> str:
    return str(random.randint(1500, 1999))
