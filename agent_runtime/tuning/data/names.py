"""Names that no other split has: what was learned by heart from one is of no use in another."""

from random import Random

from agent_runtime.tuning.samples import Split

# A name begins with a letter of its split, and so no other split's names can hold it.
_INITIALS: dict[Split, str] = {"train": "bdgklmn", "validation": "fhjwy", "test": "prstvz"}
_RHYMES = ("a", "e", "i", "o", "u", "an", "ar", "el", "en", "il", "in", "or", "os", "un")
_SHORT_SHARE = 0.7

_LOOKS: dict[Split, str] = {
    "train": "amber ancient black blue bent bright carved clay cold copper crude dark dry dull faded flat green grey",
    "validation": "gilded glass golden horn inlaid iron ivory leather light linen long lost loud low marble",
    "test": "old pale plain polished quilted red rough round rusty sacred silver simple smooth spare steel strange",
}
_THINGS: dict[Split, str] = {
    "train": "anvil basket bell belt book bottle bowl box brush bucket candle chain clock cloak coin comb crown",
    "validation": "drum dish feather fiddle flag flask flute fork funnel glove goblet hammer harp hat helm",
    "test": "jar jug kettle key ladder lamp lantern locket map mask mirror mug necklace needle oar pan pipe",
}


def names(random: Random, split: Split, count: int, taken: set[str] | None = None) -> list[str]:
    """Return different made-up names such as Kazimor, none of them in `taken`, which they are added to."""
    initials = _INITIALS[split]
    taken = set() if taken is None else taken
    found: list[str] = []
    while len(found) < count:
        num_syllables = 2 if random.random() < _SHORT_SHARE else 3
        name = "".join([random.choice(initials) + random.choice(_RHYMES) for _ in range(num_syllables)]).capitalize()
        if name not in taken:
            taken.add(name)
            found.append(name)
    return found


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
