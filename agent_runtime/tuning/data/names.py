"""Names that no other split has: what was learned by heart from one is of no use in another.

Names to learn from are of many kinds. With syllables of seven consonants alone, a model learns to tell those syllables
apart, and takes one name of other syllables for another.
"""

from random import Random

from agent_runtime.tuning.samples import Split

# A name begins with a letter of its split, and so no other split's names can hold it.
_INITIALS: dict[Split, str] = {"train": "bdgklmn", "validation": "fhjwy", "test": "prstvz"}
_RHYMES = ("a", "e", "i", "o", "u", "an", "ar", "el", "en", "il", "in", "or", "os", "un")
_SHORT_SHARE = 0.7
# How a word of any letters begins (as no word of another split does), and what goes on.
_BEGINNINGS = "a e i o u b d g k l m n bl br ch cl cr dr gl gr kl kn kr".split()
_ONSETS = "b c d f g h k l m n p r s t v z sh st th tr".split()
_ENDINGS = (
    "a e o y ak am an ant ard as ath el en er eth ick ik in ir ish it oc of ok om on op ot uck ud um unt ur us".split()
)
_ROLES = (
    "archer baker bandit bear beggar butcher captain cleric cook cultist deer dragon druid dwarf elder elf envoy giant "
    "gnoll gnome goblin golem guard imp kestrel king knight kobold lancer leader lizard lynx mage marksman merchant "
    "miner monk moth noble nomad nurse ogre orc outlaw owl undead usher"
).split()
_FIRST_HALVES = (
    "amber ash birch black blue bone bright bronze clay cold copper crow dark deep dew dry dusk eagle east elder elk "
    "elm ember even green grey king lake lark lion long low mill mist moon moss mud night north oak old open otter "
    "over under upper"
).split()
_SECOND_HALVES = (
    "barrow bridge brook burn cliff dale fall fell field ford gate grove harbour haven hill hold holm hollow keep land "
    "marsh mere moor mouth peak point port reach rest ridge rock shade shore stead stone thorn town vale wall watch "
    "water well wick wood yard"
).split()

_LOOKS: dict[Split, str] = {
    "train": "amber ancient ashen bent black blue bright broken bronze carved cheap clay coarse cold copper cracked "
    "crude curved damp dark deep dented double dry dull dusty empty faded fancy fine flat fresh frozen green grey",
    "validation": "gilded glass golden horn inlaid iron ivory leather light linen long lost loud low marble",
    "test": "old pale plain polished quilted red rough round rusty sacred silver simple smooth spare steel strange",
}
_THINGS: dict[Split, str] = {
    "train": "anvil apron arrow bag ball banner barrel basket bead bell belt bench blanket bone book boot bottle bowl "
    "box bracelet brick broom brooch brush bucket cage candle cane cap card carpet cart chain chair chart chest chisel "
    "cloak clock coat coin comb cord crate crown cup curtain cushion",
    "validation": "drum dish feather fiddle flag flask flute fork funnel glove goblet hammer harp hat helm",
    "test": "jar jug kettle key ladder lamp lantern locket map mask mirror mug necklace needle oar pan pipe",
}


def names(
    random: Random, split: Split, count: int, taken: set[str] | None = None, *, varied: bool = False
) -> list[str]:
    """Return different made-up names such as Kazimor, none of them in `taken`, which they are added to.

    `varied` names of `train` are of one of several kinds: Blesha, Goblin7, Mistford. Each is one word.
    """
    make = random.choice(_KINDS) if varied and split == "train" else _of_syllables
    taken = set() if taken is None else taken
    found: list[str] = []
    while len(found) < count:
        name = make(random, split).capitalize()
        if name not in taken:
            taken.add(name)
            found.append(name)
    return found


def _of_syllables(random: Random, split: Split) -> str:
    return "".join([random.choice(_INITIALS[split]) + random.choice(_RHYMES) for _ in range(_num_syllables(random))])


def _of_any_letters(random: Random, split: Split) -> str:
    middles = [random.choice("aeiou") + random.choice(_ONSETS) for _ in range(_num_syllables(random) - 1)]
    return random.choice(_BEGINNINGS) + "".join(middles) + random.choice(_ENDINGS)


def _of_a_role(random: Random, split: Split) -> str:
    return f"{random.choice(_ROLES)}{random.randint(1, 99)}"


def _of_two_words(random: Random, split: Split) -> str:
    return random.choice(_FIRST_HALVES) + random.choice(_SECOND_HALVES)


_KINDS = (_of_syllables, _of_any_letters, _of_any_letters, _of_a_role, _of_two_words)


def _num_syllables(random: Random) -> int:
    return 2 if random.random() < _SHORT_SHARE else 3


def things(random: Random, split: Split, count: int) -> list[str]:
    """Return different names of things such as copper-bell; when they run out, copper-bell-2 and so on."""
    every = [f"{look}-{thing}" for look in _LOOKS[split].split() for thing in _THINGS[split].split()]
    random.shuffle(every)
    found = every[:count]
    rounds = 1
    while len(found) < count:
        rounds += 1
        found += [f"{thing}-{rounds}" for thing in every[: count - len(found)]]
    return found


def plain_things(split: Split) -> tuple[str, ...]:
    """Return the things of a split without their looks: bell, book, and so on."""
    return tuple(_THINGS[split].split())
