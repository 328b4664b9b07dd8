"""What passages tell: records of made-up people, towns, firms and books, and sentences of them in several ways.

The same names and years come up in many of the records, and no passage tells all.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from random import Random

from agent_runtime.tuning.data.names import names, things
from agent_runtime.tuning.samples import Split

Record = dict[str, str]

TRADES = ("baker", "doctor", "lawyer", "painter", "pilot", "poet", "sailor", "singer", "smith", "weaver")
PRODUCTS = ("boats", "bricks", "carpets", "clocks", "glass", "lamps", "paper", "pottery", "shoes", "tools")
TOPICS = ("a flood", "a journey", "a lost son", "a war", "an island", "bees", "old songs", "the stars", "two sisters")

# Each relation of each kind of thing: what is told of it, {s} of the one and {o} of the other.
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
