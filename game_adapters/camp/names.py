"""The camp's vocabulary. Names are one word, cheap in tokens, and tell nothing about the thing's kind."""

from random import Random

KINDS = ("bandit", "bear", "boar", "wolf", "wraith")
WEAPONS = ("axe", "bow", "net", "spear", "torch")
GROUNDS = ("bog", "grass", "gravel", "pine", "rock", "sand")
GOODS = ("axehead", "bell", "boots", "cloak", "drum", "flask", "flint", "horn", "kettle", "lamp", "map", "rope")
TRADES = ("baker", "carter", "cook", "hunter", "miller", "scout", "shepherd", "smith", "tanner", "weaver")
TEMPERS = ("bold", "calm", "cheerful", "curt", "dreamy", "gloomy", "proud", "quick", "shy", "stubborn")

_PEOPLE = (
    *("Ada", "Bram", "Cora", "Dain", "Edda", "Finn", "Gwen", "Hale", "Ines", "Jory", "Kara", "Leif"),
    *("Mira", "Nils", "Orla", "Pell", "Quin", "Rosa", "Sten", "Tova", "Ulf", "Vera", "Wim", "Yara"),
)
_REGIONS = (
    ("ash", "birch", "crow", "deep", "elm", "fern", "frost", "gold", "grey", "hazel", "high", "iron", "low", "mill")
    + ("moss", "oak", "raven", "red", "stone", "thorn"),
    ("bridge", "brook", "cairn", "field", "ford", "gate", "hill", "mere", "moor", "watch", "well", "wood"),
)
_UNITS = (
    ("blood", "bone", "cinder", "dusk", "fang", "gloom", "grim", "hollow", "howl", "jag", "murk", "night", "rust")
    + ("scar", "shade", "sly", "snarl", "storm", "swift", "wild"),
    ("back", "claw", "eye", "fur", "heart", "hide", "jaw", "mane", "paw", "step", "tail", "tooth"),
)
_COLOURS = ("amber", "black", "blue", "brown", "green", "grey", "old", "pale", "red", "rusty", "white", "yellow")
_LOOKS = (
    "A path bends here between low walls.",
    "Smoke hangs over the ground in the morning.",
    "Someone has cut marks into a post.",
    "The wind carries every sound from here.",
    "Carts have left deep ruts in the mud.",
    "A cold spring runs out between two stones.",
    "Nobody has lit a fire here for weeks.",
    "From here the watchfires can be seen at night.",
)
_MARKS = (
    "limps on the left",
    "has a torn ear",
    "comes only at dusk",
    "follows the stream",
    "is wary of dogs",
    "was seen twice this week",
    "leaves deep tracks",
    "never comes alone",
)
_STORIES = (
    "Came over the pass as a child and never went back.",
    "Lost a brother to the winter and speaks of it to nobody.",
    "Owes the camp a debt and means to pay it.",
    "Sleeps badly and therefore likes the late watch.",
    "Knows every path between the camp and the hills.",
    "Trusts orders more than luck.",
)


def people(random: Random, count: int) -> list[str]:
    """Different first names."""
    return _numbered(random, list(_PEOPLE), count)


def regions(random: Random, count: int) -> list[str]:
    """Different names of places, such as millgate."""
    return _numbered(random, [first + second for first in _REGIONS[0] for second in _REGIONS[1]], count)


def units(random: Random, count: int) -> list[str]:
    """Different names of units, such as grimtooth."""
    return _numbered(random, [first + second for first in _UNITS[0] for second in _UNITS[1]], count)


def items(random: Random, count: int) -> list[str]:
    """Different names of things to carry, such as red-rope."""
    return _numbered(random, [f"{colour}-{good}" for colour in _COLOURS for good in GOODS], count)


def look(random: Random) -> str:
    """A sentence about a place."""
    return random.choice(_LOOKS)


def mark(random: Random) -> str:
    """How people speak of a unit."""
    return random.choice(_MARKS)


def story(random: Random) -> str:
    """A sentence about a person."""
    return random.choice(_STORIES)


def _numbered(random: Random, names: list[str], count: int) -> list[str]:
    """`count` of the names in random order; when they run out they come again with a number: ashford, ashford2."""
    random.shuffle(names)
    rounds, chosen = 1, names[:count]
    while len(chosen) < count:
        rounds += 1
        chosen += [f"{name}{rounds}" for name in names[: count - len(chosen)]]
    return chosen
