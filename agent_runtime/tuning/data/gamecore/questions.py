"""Questions about a land, by kind. Each has one right answer, told by the blocks alone.

A kind returns None for a land it cannot ask about. The chance of a question is that of a guess among the values which
the thing asked for has anywhere in this land: higher than that of a guess among all values there could be.
"""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from agent_runtime.tuning.data.asking import Question
from agent_runtime.tuning.data.gamecore.details import PACKED, STORED
from agent_runtime.tuning.data.gamecore.land import TERRAINS, WEAPONS, WINNERS, Kind, Land, Record

Asker = Callable[[Random, Land], Question | None]

# What of a record is asked for by its name; a quest's hero and goal are left to a family that is held out.
_FACTS: Mapping[Kind, Mapping[str, str]] = {
    "region": {
        "terrain": "What is the terrain of {}?",
        "danger": "How great is the danger in {}?",
        "ruler": "Who rules {}?",
        "weather": "What is the weather in {}?",
        "people": "How many people live in {}?",
        "keeper": "Who is the keeper of {}?",
    },
    "unit": {
        "team": "Which team is {} of?",
        "hp": "How many hp has {}?",
        "weapon": "Which weapon has {}?",
        "region": "In which region is {}?",
        "ally": "Who is the ally of {}?",
        "carries": "What does {} carry?",
        "rank": "Which rank has {}?",
        "mood": "In which mood is {}?",
        "armour": "How good is the armour of {}?",
        "gold": "How much gold has {}?",
        "home": "Where is the home of {}?",
        "rival": "Who is the rival of {}?",
    },
    "item": {
        "weight": "What is the weight of {}?",
        "worth": "What is {} worth?",
        "lies_in": "Where does {} lie?",
        "state": "In which state is {}?",
        "age": "How old is {}?",
        "maker": "Who is the maker of {}?",
        "made_in": "Where was {} made?",
    },
    "quest": {
        "reward": "What is the reward of quest {}?",
        "days": "How many days are left for quest {}?",
        "giver": "Who is the giver of quest {}?",
        "penalty": "What is the penalty of quest {}?",
        "witness": "Who is the witness of quest {}?",
    },
}
_KIND_WEIGHTS: Mapping[Kind, int] = {"region": 3, "unit": 10, "item": 4, "quest": 3}
_STOCKS = {
    "pack": ("How many {} has {} in the pack?", PACKED),
    "stores": ("How much {} is in the stores of {}?", STORED),
}
_NOTE = "What is noted of {} for day {}?"
# Two records: what leads from the first to the second, and what of the second is asked.
_LINKS: Mapping[str, tuple[tuple[Kind, str], tuple[Kind, str]]] = {
    "How many hp has the ally of {}?": (("unit", "ally"), ("unit", "hp")),
    "Which weapon has the ally of {}?": (("unit", "ally"), ("unit", "weapon")),
    "Which team is the ally of {} of?": (("unit", "ally"), ("unit", "team")),
    "What does the ally of {} carry?": (("unit", "ally"), ("unit", "carries")),
    "In which region is the ally of {}?": (("unit", "ally"), ("unit", "region")),
    "What is the terrain where {} is?": (("unit", "region"), ("region", "terrain")),
    "How great is the danger where {} is?": (("unit", "region"), ("region", "danger")),
    "What is the worth of what {} carries?": (("unit", "carries"), ("item", "worth")),
    "What is the weight of what {} carries?": (("unit", "carries"), ("item", "weight")),
    "What is the worth of what quest {} asks for?": (("quest", "bring"), ("item", "worth")),
    "What is the weight of what quest {} asks for?": (("quest", "bring"), ("item", "weight")),
    "What is the terrain where {} lies?": (("item", "lies_in"), ("region", "terrain")),
    "How great is the danger where {} lies?": (("item", "lies_in"), ("region", "danger")),
    "How many hp has the rival of {}?": (("unit", "rival"), ("unit", "hp")),
    "In which region is the giver of quest {}?": (("quest", "giver"), ("unit", "region")),
    "Which weapon has the witness of quest {}?": (("quest", "witness"), ("unit", "weapon")),
    "How many hp has the maker of {}?": (("item", "maker"), ("unit", "hp")),
    "What is the terrain where {} was made?": (("item", "made_in"), ("region", "terrain")),
    "What is the terrain at the home of {}?": (("unit", "home"), ("region", "terrain")),
    "Which weapon has the keeper of {}?": (("region", "keeper"), ("unit", "weapon")),
}

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
    facts = _FACTS[kind]
    field = random.choice([field for field in record if field in facts or field in _STOCKS or field == "notes"])
    if field == "notes":
        note = random.choice(record["notes"])
        return Question(_NOTE.format(record["id"], note["day"]), note["event"], _chance(land, kind, field))
    if field in _STOCKS:
        wording, _ = _STOCKS[field]
        what = random.choice(sorted(record[field]))
        return Question(wording.format(what, record["id"]), str(record[field][what]), 1 / len(record[field]))
    return Question(facts[field].format(record["id"]), str(record[field]), _chance(land, kind, field))


def reverse(random: Random, land: Land) -> Question | None:
    """One block, by what it holds and nobody else does."""
    units, items, quests = land.records["unit"], land.records["item"], land.records["quest"]
    lonely = _only_ones(items, "lies_in")
    ways: list[tuple[str, Sequence[Record], str]] = [
        ("Who carries {}?", units, "carries"),
        ("Whose ally is {}?", units, "ally"),
        ("Which quest asks for {}?", quests, "bring"),
        *([("Which item lies in {}?", lonely, "lies_in")] if lonely else []),
    ]
    [(wording, records, field)] = random.choices(ways, [4, 4, 2, 2][: len(ways)])
    record = random.choice(records)
    among = items if field == "lies_in" else records
    return Question(wording.format(record[field]), record["id"], 1 / len(among))


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
    ways = []
    for wording, ((kind, link), _) in _LINKS.items():
        if any(link in record and record[link] in land.by_id for record in land.records[kind]):
            ways.append(wording)
    wording = random.choice(ways)
    (kind, link), (other_kind, field) = _LINKS[wording]
    record = random.choice([each for each in land.records[kind] if each.get(link) in land.by_id])
    other = land.by_id[record[link]]
    return Question(wording.format(record["id"]), f"{other['id']}; {other[field]}", _chance(land, other_kind, field))


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


def _only_ones(records: Sequence[Record], field: str) -> list[Record]:
    """Those whose value no other record has."""
    found: dict[Any, list[Record]] = {}
    for record in records:
        if field in record:
            found.setdefault(record[field], []).append(record)
    return [same[0] for same in found.values() if len(same) == 1]
