"""In-context learning: 4 to 64 demonstrations of a task, one block each, and inputs to which the task is to be applied.

    kind         the task                                                   what only the demonstrations tell
    label        one property of a thing decides its label                  which property, and which label
    transform    a list of words is put in order, shortened, ...            which of 12 ways
    vocabulary   a phrase is translated word by word                        every word, and the order of words

A sample has one task. It is drawn so that whatever else could be believed of the demonstrations (another property,
another way, another order) is refuted by one of them, or gives the same outputs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from types import MappingProxyType
from typing import Any, ClassVar

from agent_runtime.tuning.data.asking import Question, QuestionRecipe, Weights, draw_kind, draw_questions
from agent_runtime.tuning.data.names import names, plain_things
from agent_runtime.tuning.samples import Split

FEWEST, MOST = 4, 64
# Things that are drawn for a label before it is given up.
_TRIES = 20

COLOURS = ("black", "blue", "brown", "green", "grey", "pink", "red", "white", "yellow")
SIZES = ("big", "flat", "huge", "long", "narrow", "round", "short", "small", "thick")
MEANINGS = (
    *("bread", "bridge", "cat", "cloud", "door", "dog", "field", "fire", "fish", "forest", "garden", "hill", "horse"),
    *("house", "moon", "night", "river", "road", "salt", "ship", "snow", "star", "stone", "street", "sun", "table"),
    *("tower", "tree", "village", "wall", "water", "window"),
)

TRANSFORMS: Mapping[str, Callable[[tuple[str, ...]], Sequence[str]]] = MappingProxyType(
    {
        "reversed": lambda words: words[::-1],
        "sorted": lambda words: sorted(words),
        "sorted backwards": lambda words: sorted(words, reverse=True),
        "first and last exchanged": lambda words: (words[-1], *words[1:-1], words[0]),
        "first to the end": lambda words: (*words[1:], words[0]),
        "last to the front": lambda words: (words[-1], *words[:-1]),
        "without the first": lambda words: words[1:],
        "without the last": lambda words: words[:-1],
        "the first": lambda words: words[:1],
        "the last": lambda words: words[-1:],
        "the first twice": lambda words: (words[0], *words),
        "in capitals": lambda words: [word.upper() for word in words],
    }
)


@dataclass(frozen=True, slots=True)
class Task:
    """Demonstrations (input, output), and how further inputs are drawn: an input, its output, the chance of a guess.

    `draw` returns None for an input whose output the demonstrations do not tell.
    """

    shown: tuple[tuple[str, str], ...]
    draw: Callable[[], Question | None]


def label(random: Random, split: Split, count: int) -> Task:
    """Things of a size, a colour and a kind: one of the three decides."""
    decides = random.randrange(3)
    num_labels = random.randint(2, min(4, count // 2))
    labels = names(random, split, num_labels)
    kinds = random.sample(plain_things(split), 9)
    # Few values of what decides, so that each is seen; many of the others.
    columns = [random.sample(values, len(values)) for values in (SIZES, COLOURS, kinds)]
    deciding = columns[decides][: num_labels * max(1, min(9, count // 2) // num_labels)]
    columns[decides] = deciding
    of_value = {value: labels[place % num_labels] for place, value in enumerate(deciding)}
    shown: list[tuple[str, ...]] = []
    while len(shown) < count:
        thing = [random.choice(column) for column in columns]
        if len(shown) < len(deciding):
            thing[decides] = deciding[len(shown)]
        if tuple(thing) not in shown:
            shown.append(tuple(thing))
    random.shuffle(shown)
    outputs = [of_value[thing[decides]] for thing in shown]

    def draw() -> Question | None:
        right = random.choice(labels)
        values = [value for value in deciding if of_value[value] == right]
        for _ in range(_TRIES):
            drawn = [random.choice(column) for column in columns]
            drawn[decides] = random.choice(values)
            thing = tuple(drawn)
            believed = {_by_column(shown, outputs, column, thing) for column in range(3)} - {None}
            if thing not in shown and believed == {right}:
                return Question(" ".join(thing), right, 1 / num_labels)
        return None

    return Task(tuple(zip([" ".join(thing) for thing in shown], outputs, strict=True)), draw)


def transform(random: Random, split: Split, count: int) -> Task:
    """Lists of words that are changed in one of the ways of `TRANSFORMS`."""
    vocabulary = plain_things(split)
    way = TRANSFORMS[random.choice(list(TRANSFORMS))]
    shown = [tuple(random.sample(vocabulary, random.randint(3, 5))) for _ in range(count)]
    possible = [other for other in TRANSFORMS.values() if all([*other(each)] == [*way(each)] for each in shown)]

    def draw() -> Question | None:
        words = tuple(random.sample(vocabulary, random.randint(3, 5)))
        if words in shown or len({" ".join(other(words)) for other in possible}) > 1:
            return None
        outputs = {" ".join(other(words)) for other in TRANSFORMS.values()}
        return Question(" ".join(words), " ".join(way(words)), 1 / len(outputs))

    return Task(tuple([(" ".join(words), " ".join(way(words))) for words in shown]), draw)


def vocabulary(random: Random, split: Split, count: int) -> Task:
    """Phrases of made-up words, translated word by word, in the same order or backwards."""
    num_words = max(5, min(len(MEANINGS), count))
    words = [name.lower() for name in names(random, split, num_words)]
    means = dict(zip(words, random.sample(MEANINGS, num_words), strict=True))
    is_backwards = random.random() < 0.5
    shown: list[tuple[str, ...]] = []
    while len(shown) < count:
        phrase = tuple(random.sample(words, random.randint(2, 3)))
        if phrase not in shown:
            shown.append(phrase)

    def translated(phrase: tuple[str, ...], backwards: bool = is_backwards) -> str:
        return " ".join([means[word] for word in (phrase[::-1] if backwards else phrase)])

    # Read in the other order, some word would mean two things, unless there are too few phrases to tell.
    is_told = not _is_consistent([(phrase, translated(phrase, not is_backwards).split()) for phrase in shown])
    seen = sorted({word for phrase in shown for word in phrase})

    def draw() -> Question | None:
        phrase = tuple(random.sample(seen, random.randint(2, 3)))
        if not is_told or phrase in shown:
            return None
        return Question(" ".join(phrase), translated(phrase), 1 / len(seen) ** len(phrase))

    return Task(tuple([(" ".join(phrase), translated(phrase)) for phrase in shown]), draw)


KINDS: Mapping[str, Callable[[Random, Split, int], Task]] = MappingProxyType(
    {"label": label, "transform": transform, "vocabulary": vocabulary}
)


@dataclass(frozen=True, slots=True)
class Demonstrations(QuestionRecipe):
    """What to generate. `blocks` is a range, one demonstration each, drawn log-uniformly; `kinds` with weights."""

    seed: int = 0
    split: Split = "train"
    blocks: tuple[int, int] = (FEWEST, MOST)
    asks: int = 16
    kinds: Weights = ()
    name: str = field(default="demonstrations", init=False)

    sizes: ClassVar = (FEWEST, MOST)
    askers: ClassVar = KINDS

    def draw(self, random: Random, size: int) -> tuple[dict[str, Any], list[tuple[str, Question]]]:
        """Return a state of `size` demonstrations of one task, and inputs for it with its kind."""
        kind = draw_kind(random, self.weights())
        questions: list[tuple[str, Question]] = []
        while not questions:  # a few demonstrations may leave open what the task is
            task = KINDS[kind](random, self.split, size)
            questions = draw_questions(self.asks, partial(_drawn, kind, task))
        examples = [
            {"id": str(place), "input": given, "output": output} for place, (given, output) in enumerate(task.shown, 1)
        ]
        return {"examples": examples}, questions


def _drawn(kind: str, task: Task) -> tuple[str, Question | None]:
    return kind, task.draw()


def _by_column(
    shown: Sequence[tuple[str, ...]], outputs: Sequence[str], column: int, thing: tuple[str, ...]
) -> str | None:
    """What a thing's label would be if one column decided; None if that is refuted, or says nothing of this thing."""
    known: dict[str, str] = {}
    for each, output in zip(shown, outputs, strict=True):
        if known.setdefault(each[column], output) != output:
            return None
    return known.get(thing[column])


def _is_consistent(pairs: Sequence[tuple[tuple[str, ...], list[str]]]) -> bool:
    """Whether every word always means the same if phrases are read word by word."""
    known: dict[str, str] = {}
    return all(
        known.setdefault(word, meaning) == meaning
        for phrase, meanings in pairs
        for word, meaning in zip(phrase, meanings, strict=True)
    )
