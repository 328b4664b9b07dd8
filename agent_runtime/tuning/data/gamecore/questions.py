"""Questions about a land, by kind. Each has one right answer, told by the blocks alone.

A kind returns None for a land it cannot ask about. The chance of a question is that of a guess among the values which
the thing asked for has anywhere in this land: higher than that of a guess among all values there could be.
"""

from collections.abc import Callable, Mapping
from random import Random

from agent_runtime.tuning.data.asking import Question
from agent_runtime.tuning.data.gamecore.details import PACKED, STORED
from agent_runtime.tuning.data.gamecore.land import TERRAINS, WEAPONS, WINNERS, Land
from agent_runtime.tuning.data.gamecore.links import BY_LABEL, DRAWN, Kind, Link, Record, draw_link, record_called

Asker = Callable[[Random, Land], Question | None]

# What of a record is asked for by its name; a quest's hero and goal are left to a family that is held out.
_FACTS: Mapping[Kind, Mapping[str, str]] = {
    "region": {
        "terrain": "What is the terrain of {}?",
        "danger": "How great is the danger in {}?",
        "ruler": "Who rules {}?",
        "weather": "What is the weather in {}?",
        "people": "How many people live in {}?",
    },
    "unit": {
        "team": "Which team is {} of?",
        "hp": "How many hp has {}?",
        "weapon": "Which weapon has {}?",
        "region": "In which region is {}?",
        "carries": "What does {} carry?",
        "rank": "Which rank has {}?",
        "mood": "In which mood is {}?",
        "armour": "How good is the armour of {}?",
        "gold": "How much gold has {}?",
    },
    "item": {
        "weight": "What is the weight of {}?",
        "worth": "What is {} worth?",
        "lies_in": "Where does {} lie?",
        "state": "In which state is {}?",
        "age": "How old is {}?",
    },
    "quest": {
        "reward": "What is the reward of {}?",
        "days": "How many days are left for {}?",
        "penalty": "What is the penalty of {}?",
    },
}
# The same of a region that a question has no name for: it says where something is.
_PLACE = "the region where "
_THERE = {
    "terrain": "What is the terrain where {}?",
    "danger": "How great is the danger where {}?",
    "weather": "What is the weather where {}?",
    "people": "How many people live where {}?",
}
_LED: Mapping[Kind, str] = {"region": "Which is {}?", "unit": "Who is {}?", "item": "What is {}?"}
_KIND_WEIGHTS: Mapping[Kind, int] = {"region": 3, "unit": 10, "item": 4, "quest": 3}
_STOCKS = {
    "pack": ("How many {} has {} in the pack?", PACKED),
    "stores": ("How much {} is in the stores of {}?", STORED),
}
_NOTE = "What is noted of {} for day {}?"

_QUEST_LINKS: Mapping[str, tuple[str, Kind, str]] = {
    "Which weapon has the hero of quest {}?": ("hero", "unit", "weapon"),
    "How many hp has the hero of quest {}?": ("hero", "unit", "hp"),
    "What is the terrain where quest {} leads?": ("to", "region", "terrain"),
    "How great is the danger where quest {} leads?": ("to", "region", "danger"),
}


def unit_fact(random: Random, land: Land) -> Question | None:
    """One block, by its name. Units mostly, but also the other records."""
    kinds = [kind for kind, records in land.records.items() if records]
    [kind] = random.choices(kinds, [_KIND_WEIGHTS[kind] for kind in kinds])
    record = random.choice(land.records[kind])
    called = record_called(kind, record["id"])
    field = random.choice([*_asked_fields(kind, record), *[each for each in (*_STOCKS, "notes") if each in record]])
    if field == "notes":
        note = random.choice(record["notes"])
        return Question(_NOTE.format(record["id"], note["day"]), note["event"], _chance(land, kind, field))
    if field in _STOCKS:
        wording, _ = _STOCKS[field]
        what = random.choice(sorted(record[field]))
        return Question(wording.format(what, record["id"]), str(record[field][what]), 1 / len(record[field]))
    return Question(_wording(random, kind, field, called), _value(record, field), _chance(land, kind, field))


def reverse(random: Random, land: Land) -> Question | None:
    """One block, by what it names and nobody else does."""
    link = draw_link(random, land.only_ones)
    name, record = random.choice(land.only_ones[link])
    records = land.records[link.kind]
    return Question(random.choice(link.back).format(name), record["id"], 1 / len(records))


def rules_and_unit(random: Random, land: Land) -> Question | None:
    """A table of the rules and one block."""
    if random.random() < 0.7:
        unit = random.choice(land.records["unit"])
        text = f"What is the weapon power of {unit['id']}?"
        return Question(text, f"{unit['weapon']}; {land.power(unit)}", 1 / len(WEAPONS))
    region = random.choice(land.records["region"])
    text = f"How many days does it take to cross {region['id']}?"
    return Question(text, f"{region['terrain']}; {land.state['rules']['land'][region['terrain']]}", 1 / len(TERRAINS))


def linked(random: Random, land: Land) -> Question | None:
    """Two blocks, of which the first names the second."""
    return _linked(random, land, draw_link(random, land.linked))


def new_link(random: Random, land: Land) -> Question | None:
    """Held out: the same by a link whose label no land of train has."""
    links = [link for link in DRAWN["new"] if link in land.linked]
    return _linked(random, land, random.choice(links)) if links else None


def _linked(random: Random, land: Land, link: Link) -> Question:
    record, other = random.choice(land.linked[link])
    field = random.choice(_asked_fields(link.to, other))
    # A link from what another leads to is worded one way: "the rival of Ann's ally" could be two.
    wordings = link.called if field in _FACTS[link.to] else link.called[:1]
    called = random.choice(wordings).format(record_called(link.kind, record["id"]))
    text = _wording(random, link.to, field, called, named=False)
    return Question(text, f"{other['id']}; {_value(other, field)}", _chance(land, link.to, field))


def comparison(random: Random, land: Land) -> Question | None:
    """Two blocks and the rules: who beats whom. The target says by which rule: it differs from land to land."""
    rule = land.state["rules"]["fights"]["winner"]
    what, larger_wins = WINNERS[rule]
    for _ in range(20):
        pair = random.sample(land.records["unit"], 2)
        values = [land.power(unit) if what == "power" else unit["hp"] for unit in pair]
        if values[0] != values[1]:
            winner = pair[(values[1] > values[0]) is larger_wins]
            steps = [
                " ".join([unit["id"], *([unit["weapon"]] if what == "power" else []), str(value)])
                for unit, value in zip(pair, values, strict=True)
            ]
            text = f"Who wins if {pair[0]['id']} and {pair[1]['id']} fight?"
            return Question(text, f"{rule}; {', '.join(steps)}; {winner['id']}", 1 / 2)
    return None


def counting(random: Random, land: Land) -> Question | None:
    """Over many blocks: how many units of a team are in a region. The target lists them before their number.

    In alphabetical order: blocks stand where their session puts them, and have not seen each other.
    """
    team, region, count = random.choice(land.counted)
    listed = sorted([unit["id"] for unit in land.units_of[region] if unit["team"] == team])
    text = f"How many units of the {team} team are in {region}?"
    return Question(text, f"{', '.join(listed) or 'none'}; {count}", 1 / (land.largest_count + 1))


def quest(random: Random, land: Land) -> Question | None:
    """Held out: two blocks by links that no other kind follows, answered as `linked` is.

    So what is new is what is asked, and not how to write the answer: rules and two blocks in one, in a form that no
    other kind writes, was never answered by any mode.
    """
    record = random.choice(land.records["quest"])
    wording = random.choice([*_QUEST_LINKS])
    link, kind, field = _QUEST_LINKS[wording]
    other = land.by_id[record[link]]
    return Question(wording.format(record["id"]), f"{other['id']}; {other[field]}", _chance(land, kind, field))


def _chance(land: Land, kind: Kind, field: str) -> float:
    return 1 / land.num_values[kind, field]


def _asked_fields(kind: Kind, record: Record) -> list[str]:
    """The facts and the links of a record that are asked for."""
    fields = [field for field in record if field in _FACTS[kind] or (kind, field) == ("unit", "ally")]
    return [*fields, *record.get("links", ())]


def _value(record: Record, field: str) -> str:
    return str(record[field] if field in record else record["links"][field])


def _wording(random: Random, kind: Kind, field: str, called: str, *, named: bool = True) -> str:
    """How a field is asked for, of a record by its name or by what leads to it."""
    if field in _FACTS[kind]:
        is_place = called.startswith(_PLACE) and field in _THERE and random.random() < 0.5
        return _THERE[field].format(called.removeprefix(_PLACE)) if is_place else _FACTS[kind][field].format(called)
    link = BY_LABEL[kind, field]
    wordings = link.called if named else link.called[:1]
    return _LED[link.to].format(random.choice(wordings).format(called))
