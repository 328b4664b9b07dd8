"""Names, of the same kinds in every split, and no name in two: a digest of its text says to which split it belongs.

So a name of `test` looks like those that were learned from and is none of them, whatever seeds and generators they came
from. Names and things that are unlike any of those are for a test of its own, of spelling: who finds the right block
may still write another letter (LOG.md). Such names are made of a few syllables, of which alone no other name is made,
and such things of words that no other thing is made of, apart for validation and test.
"""

import hashlib
import re
from collections.abc import Callable
from functools import cache, partial
from random import Random
from typing import Literal

from agent_runtime.tuning.data import words
from agent_runtime.tuning.samples import Split

# Like those that are learned from, or unlike any of them.
Manner = Literal["like", "unlike"]
_Make = Callable[[Random], str]

_CONSONANTS = "bcdfghjklmnprstvwxyz"
_UNLIKE: dict[Split, str] = {"validation": "fhjwy", "test": "prstvz"}
_RHYMES = ("a", "e", "i", "o", "u", "an", "ar", "el", "en", "il", "in", "or", "os", "un")
# Of ten names: the first eight digests are of `train`.
_SPLITS: tuple[Split, ...] = (*("train",) * 8, "validation", "test")
# When so many in a row were of other splits or there already, another kind of names goes on.
_MOST_MISSES = 2000
_SHORT_SHARE = 0.7
# How a word of any letters begins, and what goes on.
_BEGINNINGS = (
    "a e i o u b c d f g h j k l m n p q r s t v w x y z bl br ch cl cr dr fl fr gh gl gr kl kn kr ph pl pr qu rh sc "
    "sh sk sl sm sn sp st sv sw th tr tw vl vr wh wr zh"
).split()
_ONSETS = "b c d f g h k l m n p r s t v w x y z ch gh sh sk st th tr".split()
_ENDINGS = (
    "a e o y ac ag ak al am an ant ard as ath ax ed el en er esh eth ez ic ick ik im in ir ish it iv oc od of ok ol om "
    "on op ot oth uck ud ul um unt ur us uz"
).split()
_LETTERS, _DIGITS = "abcdefghijklmnopqrstuvwxyz", "0123456789"
_UNLIKE_PATTERN = re.compile(
    "|".join([f"(?:(?:[{letters}](?:{'|'.join(_RHYMES)})){{2,3}})" for letters in _UNLIKE.values()])
)


def split_of(name: str) -> Split:
    """Return the split that a name or a thing belongs to, in capitals or not."""
    digest = hashlib.blake2b(name.lower().encode(), digest_size=8).digest()
    return _SPLITS[int.from_bytes(digest) % len(_SPLITS)]


def names(
    random: Random,
    split: Split,
    count: int,
    taken: set[str] | None = None,
    *,
    varied: bool = False,
    manner: Manner = "like",
) -> list[str]:
    """Return different made-up names such as Kazimor, none of them in `taken`, which they are added to.

    `varied` ones are of one of several kinds: Blesha, Goblin7, Mistford, Kx204. Each is one word. `train` has no unlike
    ones.
    """
    make: _Make = partial(_of_syllables, letters=_UNLIKE[split]) if manner == "unlike" else _of_syllables
    if varied and manner == "like":
        make = random.choice(_KINDS)
    taken = set() if taken is None else taken
    found: list[str] = []
    misses = 0
    while len(found) < count:
        made = make(random)
        name = made.capitalize()
        if name not in taken and (manner == "unlike" or _is_like(made, split)):
            taken.add(name)
            found.append(name)
            misses = 0
        else:
            misses += 1
            if misses == _MOST_MISSES and manner == "like":
                make = _of_any_letters
    return found


def _is_like(made: str, split: Split) -> bool:
    return split_of(made) == split and not _UNLIKE_PATTERN.fullmatch(made)


def _of_syllables(random: Random, letters: str = _CONSONANTS) -> str:
    return "".join([random.choice(letters) + random.choice(_RHYMES) for _ in range(_num_syllables(random))])


def _of_any_letters(random: Random) -> str:
    middles = [random.choice("aeiou") + random.choice(_ONSETS) for _ in range(_num_syllables(random) - 1)]
    return random.choice(_BEGINNINGS) + "".join(middles) + random.choice(_ENDINGS)


def _of_a_role(random: Random) -> str:
    return f"{random.choice(words.ROLES)}{random.randint(1, 99)}"


def _of_two_words(random: Random) -> str:
    return random.choice(words.FIRST_HALVES) + random.choice(words.SECOND_HALVES)


def _of_signs(random: Random) -> str:
    letters, digits = random.choices(_LETTERS, k=random.randint(1, 3)), random.choices(_DIGITS, k=random.randint(2, 3))
    return "".join([*letters, *digits])


_KINDS: tuple[_Make, ...] = (
    *(_of_syllables, _of_syllables, _of_any_letters, _of_any_letters),
    *(_of_a_role, _of_two_words, _of_signs),
)


def _num_syllables(random: Random) -> int:
    return 2 if random.random() < _SHORT_SHARE else 3


def things(random: Random, split: Split, count: int, *, manner: Manner = "like") -> list[str]:
    """Return different names of things such as copper-bell.

    Of unlike ones there are a few hundred; when they run out, copper-bell-2 and so on.
    """
    if manner == "unlike":
        looks, objects = words.UNLIKE_LOOKS[split], words.UNLIKE_THINGS[split]
        total = len(looks) * len(objects)
        every = random.sample(range(total), min(count, total))
        plain = [f"{looks[number // len(objects)]}-{objects[number % len(objects)]}" for number in every]
        return [plain[n % total] if n < total else f"{plain[n % total]}-{n // total + 1}" for n in range(count)]
    assert count < len(words.LOOKS) * len(words.THINGS) / 2 / len(_SPLITS)
    found: dict[str, None] = {}
    while len(found) < count:
        thing = f"{random.choice(words.LOOKS)}-{random.choice(words.THINGS)}"
        if split_of(thing) == split:
            found[thing] = None
    return [*found]


@cache
def plain_things(split: Split) -> tuple[str, ...]:
    """Return things without their looks: bell, book, and so on."""
    return tuple([thing for thing in words.THINGS if split_of(thing) == split])
