"""Names that no other split has: what was learned by heart from one is of no use in another.

Validation and test names are made of syllables, of five or six consonants each. Names to learn from are of many kinds
and begin with every letter, but none of them can be one of those. They have to: a model that never wrote a name with S
at its beginning finds the right block, and then writes another letter (LOG.md).
"""

import re
from functools import cache
from random import Random

from agent_runtime.tuning.data import words
from agent_runtime.tuning.samples import Split

_CONSONANTS: dict[Split, str] = {"train": "bcdfghjklmnprstvwxyz", "validation": "fhjwy", "test": "prstvz"}
_RHYMES = ("a", "e", "i", "o", "u", "an", "ar", "el", "en", "il", "in", "or", "os", "un")
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


@cache
def _kept_from(split: Split) -> re.Pattern[str]:
    """Return what the names of the other splits look like, as far as they are made to a pattern."""
    others = [letters for other, letters in _CONSONANTS.items() if other not in ("train", split)]
    syllables = [f"(?:(?:[{letters}](?:{'|'.join(_RHYMES)})){{2,3}})" for letters in others]
    return re.compile("|".join(syllables))


def names(
    random: Random, split: Split, count: int, taken: set[str] | None = None, *, varied: bool = False
) -> list[str]:
    """Return different made-up names such as Kazimor, none of them in `taken`, which they are added to.

    `varied` names of `train` are of one of several kinds: Blesha, Goblin7, Mistford, Kx204. Each is one word.
    """
    make = random.choice(_KINDS) if varied and split == "train" else _of_syllables
    taken = set() if taken is None else taken
    found: list[str] = []
    while len(found) < count:
        made = make(random, split)
        name = made.capitalize()
        if name not in taken and not _kept_from(split).fullmatch(made):
            taken.add(name)
            found.append(name)
    return found


def _of_syllables(random: Random, split: Split) -> str:
    return "".join([random.choice(_CONSONANTS[split]) + random.choice(_RHYMES) for _ in range(_num_syllables(random))])


def _of_any_letters(random: Random, split: Split) -> str:
    middles = [random.choice("aeiou") + random.choice(_ONSETS) for _ in range(_num_syllables(random) - 1)]
    return random.choice(_BEGINNINGS) + "".join(middles) + random.choice(_ENDINGS)


def _of_a_role(random: Random, split: Split) -> str:
    return f"{random.choice(words.ROLES)}{random.randint(1, 99)}"


def _of_two_words(random: Random, split: Split) -> str:
    return random.choice(words.FIRST_HALVES) + random.choice(words.SECOND_HALVES)


def _of_signs(random: Random, split: Split) -> str:
    letters, digits = random.choices(_LETTERS, k=random.randint(1, 3)), random.choices(_DIGITS, k=random.randint(2, 3))
    return "".join([*letters, *digits])


_KINDS = (_of_syllables, _of_syllables, _of_any_letters, _of_any_letters, _of_a_role, _of_two_words, _of_signs)


def _num_syllables(random: Random) -> int:
    return 2 if random.random() < _SHORT_SHARE else 3


def things(random: Random, split: Split, count: int) -> list[str]:
    """Return different names of things such as copper-bell; when they run out, copper-bell-2 and so on."""
    looks, objects = words.LOOKS[split], words.THINGS[split]
    total = len(looks) * len(objects)
    every = random.sample(range(total), min(count, total))
    plain = [f"{looks[number // len(objects)]}-{objects[number % len(objects)]}" for number in every]
    return [plain[n % total] if n < total else f"{plain[n % total]}-{n // total + 1}" for n in range(count)]


def plain_things(split: Split) -> tuple[str, ...]:
    """Return the things of a split without their looks: bell, book, and so on."""
    return words.THINGS[split]
