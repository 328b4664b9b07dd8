"""What makes records longer: further fields, links and notes, all about this land and most of them asked about.

A record takes details in random order until it has about the tokens wanted. The tokens of each were measured with
SmolLM2's tokenizer, on names of syllables.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple

from agent_runtime.tuning.data.gamecore.links import DRAWN, Drawn, Kind, Record

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


class _Detail(NamedTuple):
    """A field, how many tokens it makes a block longer, and how its value is made."""

    field: str
    tokens: float
    make: _Maker
    is_link: bool = False


def add_details(random: Random, state: Record, block_tokens: float, links: Drawn = "known") -> None:
    """Add details to all records of a state, so that a block has about `block_tokens` tokens in the mean."""
    names = _Names(
        tuple([region["id"] for region in state["regions"]]),
        tuple([unit["id"] for unit in state["units"]]),
        state["clock"]["day"],
    )
    for kind, (room, core, details, events) in _KINDS.items():
        every = (*details, *_links(random, kind, links))
        for record in state.get(room, ()):
            _enrich(random, record, block_tokens * random.uniform(0.7, 1.3) - core, every, events, names)


def _links(random: Random, kind: Kind, links: Drawn) -> list["_Detail"]:
    """The links that records of a kind may have in this land."""
    drawn = random.sample([link for link in DRAWN[links] if link.kind == kind], _NUM_LINKS[kind])
    makers = {"unit": _a_unit, "region": _a_region}
    return [_Detail(link.label, 4.5 + len(link.label.split()), makers[link.to], is_link=True) for link in drawn]


def _enrich(
    random: Random,
    record: Record,
    left: float,
    details: tuple["_Detail", ...],
    events: tuple[str, ...],
    names: _Names,
) -> None:
    # A detail goes in with the probability that keeps the mean: one that is twice too long, every second time.
    for detail in random.sample(details, len(details)):
        if left < detail.tokens and random.random() * detail.tokens >= left:
            return
        fields = record.setdefault("links", {}) if detail.is_link else record
        fields[detail.field] = detail.make(random, names, record["id"])
        left -= detail.tokens
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
_NUM_LINKS: dict[Kind, int] = {"region": 3, "unit": 5, "item": 3, "quest": 3}
# For each kind of record: where they are in a state, tokens of a block without details, details, and what notes tell.
_KINDS: dict[Kind, tuple[str, float, tuple[_Detail, ...], tuple[str, ...]]] = {
    "region": (
        "regions",
        24.0,
        (
            _Detail("ruler", 4.0, _one_of(RULERS)),
            _Detail("weather", 3.5, _one_of(WEATHERS)),
            _Detail("people", 4.0, _number(10, 99)),
            _Detail("stores", 16.0, _counted(STORED, 5)),
        ),
        ("{unit} came from {region}", "{unit} fought {other}", "{unit} left for {region}", "{unit} hid from {other}"),
    ),
    "unit": (
        "units",
        35.0,
        (
            _Detail("rank", 3.0, _one_of(RANKS)),
            _Detail("mood", 3.0, _one_of(MOODS)),
            _Detail("armour", 5.0, _number(10, 99)),
            _Detail("gold", 4.0, _number(10, 99)),
            _Detail("pack", 16.0, _counted(PACKED, 5)),
        ),
        ("fought {unit} in {region}", "met {unit} in {region}", "came from {region}", "fled from {unit}"),
    ),
    "item": (
        "items",
        21.0,
        (_Detail("state", 3.0, _one_of(STATES)), _Detail("age", 4.0, _number(10, 99))),
        ("{unit} sold it to {other}", "{unit} lost it in {region}", "{unit} mended it", "{unit} won it from {other}"),
    ),
    "quest": (
        "quests",
        30.0,
        (_Detail("days", 5.0, _number(10, 99)), _Detail("penalty", 5.0, _number(10, 99))),
        ("{unit} gave it up in {region}", "{unit} asked {other} for help", "{unit} was seen in {region}"),
    ),
}
