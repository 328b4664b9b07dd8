"""What makes records longer: further fields and notes, all about this land, and most of them asked about as well.

A record takes details in random order until it has about the tokens wanted. The tokens of each were measured with
SmolLM2's tokenizer, on names of syllables.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

Record = dict[str, Any]

RANKS = ("captain", "guard", "healer", "rider", "scout", "smith")
MOODS = ("angry", "calm", "eager", "proud", "shaken", "weary")
WEATHERS = ("clear", "foggy", "mild", "rainy", "snowy", "windy")
STATES = ("broken", "cracked", "mended", "new", "worn")
RULERS = ("blue", "gold", "green", "nobody", "red")
PACKED = ("arrows", "bread", "cloth", "herbs", "rope", "salt", "torches")
STORED = ("fish", "grain", "iron", "stone", "timber", "wool")


@dataclass(frozen=True, slots=True)
class _Names:
    """What a detail may be about."""

    regions: tuple[str, ...]
    units: tuple[str, ...]
    day: int

    def unit(self, random: Random, *but: str) -> str:
        """A unit that is none of those named."""
        while (found := random.choice(self.units)) in but:
            pass
        return found


# Random numbers, names, and the id of the record itself.
_Maker = Callable[[Random, _Names, str], Any]


def add_details(random: Random, state: Record, block_tokens: float) -> None:
    """Add details to all records of a state, so that a block has about `block_tokens` tokens in the mean."""
    names = _Names(
        tuple([region["id"] for region in state["regions"]]),
        tuple([unit["id"] for unit in state["units"]]),
        state["clock"]["day"],
    )
    for kind, (core, details, events) in _KINDS.items():
        for record in state.get(kind, ()):
            _enrich(random, record, block_tokens * random.uniform(0.7, 1.3) - core, details, events, names)


def _enrich(
    random: Random,
    record: Record,
    left: float,
    details: tuple[tuple[str, float, _Maker], ...],
    events: tuple[str, ...],
    names: _Names,
) -> None:
    # A detail goes in with the probability that keeps the mean: one that is twice too long, every second time.
    for field, tokens, make in random.sample(details, len(details)):
        if left < tokens and random.random() * tokens >= left:
            return
        record[field] = make(random, names, record["id"])
        left -= tokens
    num_notes = int(left / _NOTE_TOKENS + random.random()) if left > 0 else 0
    if num_notes:
        days = sorted(random.sample(range(1, names.day), min(num_notes, names.day - 1)))
        record["notes"] = [{"day": day, "event": _event(random, events, names, record["id"])} for day in days]


def _event(random: Random, events: tuple[str, ...], names: _Names, own: str) -> str:
    unit = names.unit(random, own)
    other = names.unit(random, own, unit)
    return random.choice(events).format(unit=unit, other=other, region=random.choice(names.regions))


def _one_of(values: tuple[str, ...]) -> _Maker:
    return lambda random, names, own: random.choice(values)


def _number(low: int, high: int) -> _Maker:
    return lambda random, names, own: random.randint(low, high)


def _counted(values: tuple[str, ...], most: int) -> _Maker:
    return lambda random, names, own: {
        value: random.randint(2, 99) for value in random.sample(values, random.randint(2, most))
    }


def _a_unit(random: Random, names: _Names, own: str) -> str:
    return names.unit(random, own)


def _a_region(random: Random, names: _Names, own: str) -> str:
    return random.choice(names.regions)


_NOTE_TOKENS = 13.0
# For each kind of record: tokens of a block without details; field, tokens and maker of each detail; what notes tell.
_KINDS: dict[str, tuple[float, tuple[tuple[str, float, _Maker], ...], tuple[str, ...]]] = {
    "regions": (
        24.0,
        (
            ("ruler", 4.0, _one_of(RULERS)),
            ("weather", 3.5, _one_of(WEATHERS)),
            ("people", 4.0, _number(10, 99)),
            ("keeper", 5.5, _a_unit),
            ("stores", 16.0, _counted(STORED, 5)),
        ),
        ("{unit} came from {region}", "{unit} fought {other}", "{unit} left for {region}", "{unit} hid from {other}"),
    ),
    "units": (
        35.0,
        (
            ("rank", 3.0, _one_of(RANKS)),
            ("mood", 3.0, _one_of(MOODS)),
            ("armour", 5.0, _number(10, 99)),
            ("gold", 4.0, _number(10, 99)),
            ("home", 5.5, _a_region),
            ("rival", 5.5, _a_unit),
            ("pack", 16.0, _counted(PACKED, 5)),
        ),
        ("fought {unit} in {region}", "met {unit} in {region}", "came from {region}", "fled from {unit}"),
    ),
    "items": (
        21.0,
        (
            ("state", 3.0, _one_of(STATES)),
            ("age", 4.0, _number(10, 99)),
            ("maker", 5.5, _a_unit),
            ("made_in", 6.5, _a_region),
        ),
        ("{unit} sold it to {other}", "{unit} lost it in {region}", "{unit} mended it", "{unit} won it from {other}"),
    ),
    "quests": (
        30.0,
        (
            ("days", 5.0, _number(10, 99)),
            ("giver", 6.0, _a_unit),
            ("penalty", 5.0, _number(10, 99)),
            ("witness", 6.0, _a_unit),
        ),
        ("{unit} gave it up in {region}", "{unit} asked {other} for help", "{unit} was seen in {region}"),
    ),
}
