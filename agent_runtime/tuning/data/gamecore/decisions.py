"""Decisions: which of the listed actions is to be taken, by the rules of `folders/gamecore/rules.md` and the land.

A unit that is led asks for several blocks and the rules at once, and nothing may be written on the way; attacks on
units elsewhere, ways to other regions and holding are listed besides the right action, at random places.

An errand asks for one block. One by the rules asks for them and a block, a linked one for two blocks; both steps stand
in its actions. Each step is in as many of these as any other, and so is each pair that is true of somebody: only both
steps together lead to the right one.
"""

from collections.abc import Iterable, Mapping
from random import Random

from agent_runtime.tuning.data.asking import Question
from agent_runtime.tuning.data.gamecore.land import ATTACKS, Land
from agent_runtime.tuning.data.gamecore.links import Kind, Record, draw_link, record_called

_HOLD = "hold"
# Errands: what is told, the record it names, what of that record is done, and how.
_ERRANDS: tuple[tuple[str, Kind, str, str], ...] = (
    ("You are to go where {} is.", "unit", "region", "go to {}"),
    ("You are to attack the ally of {}.", "unit", "ally", "attack {}"),
    ("You are to take what {} carries.", "unit", "carries", "take {}"),
    ("You are to go where {} lies.", "item", "lies_in", "go to {}"),
    ("You are to bring what quest {} asks for.", "quest", "bring", "bring {}"),
)
# Errands by the rules: what is told, the record it names, what of it the rules have a number for, and how.
_BY_RULES: tuple[tuple[str, Kind, str, str], ...] = (
    ("You are to buy a weapon like that of {} for its power.", "unit", "weapon", "buy {} for {}"),
    ("You are to cross {}.", "region", "terrain", "cross {} in {} days"),
)
# Linked ones, by what the link leads to: what is told, what of that is to be found, and how.
_BY_LINK: Mapping[Kind, tuple[tuple[str, str, str], ...]] = {
    "unit": (
        ("You are to find {}.", "region", "find {} in {}"),
        ("You are to disarm {}.", "weapon", "rob {} of the {}"),
    ),
    "item": (("You are to sell {}.", "worth", "sell {} for {}"),),
    "region": (("You are to travel to {}.", "terrain", "travel to {} through {}"),),
}
_FEWEST, _MOST = 3, 8
_MOST_PAIRS = 4
_MOST_ENEMIES = 4
_TRIES = 30
_HOLD_SHARE, _GO_SHARE = 0.12, 0.4


def decision(random: Random, land: Land) -> Question | None:
    """Choose one of 3 to 8 actions."""
    wanted = random.random()
    ways = [_attack, _go]
    if wanted < _HOLD_SHARE:
        ways = [_hold, _go, _attack]
    elif wanted < _HOLD_SHARE + _GO_SHARE:
        ways = [_go, _attack]
    for way in ways:
        for _ in range(_TRIES):
            unit = way(random, land)
            if unit is not None and (action := right_action(land, unit)) is not None:
                return _asked(random, land, unit, action)
    return None


def errand(random: Random, land: Land) -> Question | None:
    """Choose one of 3 to 8 actions, by one block."""
    told, kind, field, action = random.choice(_ERRANDS)
    records = [record for record in land.records[kind] if field in record]
    others = list(dict.fromkeys([each[field] for each in records]))
    if len(others) < _FEWEST:
        return None
    record = random.choice(records)
    count = random.randint(_FEWEST, min(_MOST, len(others)))
    chosen = random.sample([other for other in others if other != record[field]], count - 1)
    actions = [action.format(each) for each in (record[field], *chosen)]
    right = actions[0]
    random.shuffle(actions)
    return Question(f"{told.format(record['id'])} What do you do?", right, 1 / count, tuple(actions))


def rules_errand(random: Random, land: Land) -> Question | None:
    """Choose one of 4 to 8 actions, by the rules and one block."""
    told, kind, field, action = random.choice(_BY_RULES)
    record = random.choice(land.records[kind])
    numbers = land.state["rules"]["fights"]["power"] if field == "weapon" else land.state["rules"]["land"]
    pairs = [(each, str(numbers[each])) for each in random.sample(sorted(numbers), len(numbers))]
    right = record[field], str(numbers[record[field]])
    return _with_steps(random, told.format(record["id"]), action, right, pairs)


def linked_errand(random: Random, land: Land) -> Question | None:
    """Choose one of 4 to 8 actions, by two blocks, of which the first names the second."""
    link = draw_link(random, land.linked)
    record, other = random.choice(land.linked[link])
    told, field, action = random.choice(_BY_LINK[link.to])
    others = land.records[link.to]
    pairs = [
        (each["id"], str(each[field])) for each in random.sample(others, min(len(others), _MOST)) if each != record
    ]
    called = random.choice(link.called).format(record_called(link.kind, record["id"]))
    return _with_steps(random, told.format(called), action, (other["id"], str(other[field])), pairs)


def right_action(land: Land, unit: Record) -> str | None:
    """What the rules want of a unit; None where they leave a choice, or where too many enemies are to be listed."""
    enemies = land.enemies(unit)
    if enemies:
        takes_most = ATTACKS[land.state["rules"]["fights"]["attack"]]
        ranked = sorted(enemies, key=lambda enemy: enemy["hp"], reverse=takes_most)
        if len(ranked) > _MOST_ENEMIES or (len(ranked) > 1 and ranked[0]["hp"] == ranked[1]["hp"]):
            return None
        return f"attack {ranked[0]['id']}"
    quest = land.quest_of.get(unit["id"])
    return f"go to {quest['to']}" if quest is not None and quest["to"] != unit["region"] else _HOLD


def _with_steps(
    random: Random, told: str, action: str, right: tuple[str, str], others: Iterable[tuple[str, str]]
) -> Question | None:
    """The right pair and others, each once as it is and once with the second part of another."""
    pairs, wanted = [right], random.randint(2, _MOST_PAIRS)
    for first, second in others:
        if len(pairs) < wanted and all(first != pair[0] and second != pair[1] for pair in pairs):
            pairs.append((first, second))
    if len(pairs) == 1:
        return None
    crossed = [(first, pairs[place - 1][1]) for place, (first, _) in enumerate(pairs)]
    actions = [action.format(*pair) for pair in (*pairs, *crossed)]
    target = actions[0]
    random.shuffle(actions)
    return Question(f"{told} What do you do?", target, 1 / len(actions), tuple(actions))


def _attack(random: Random, land: Land) -> Record | None:
    """A unit with enemies; a hero as often as not, so that being one does not tell the answer."""
    units = list(land.records["unit"])
    if random.random() < 0.5:
        units = [land.by_id[hero] for hero in land.quest_of]
    unit = random.choice(units)
    return unit if land.enemies(unit) else None


def _go(random: Random, land: Land) -> Record | None:
    unit = land.by_id[random.choice(land.records["quest"])["hero"]]
    is_there = land.quest_of[unit["id"]]["to"] == unit["region"]
    return unit if not is_there and not land.enemies(unit) else None


def _hold(random: Random, land: Land) -> Record | None:
    unit = random.choice(land.records["unit"])
    return unit if not land.enemies(unit) and right_action(land, unit) == _HOLD else None


def _asked(random: Random, land: Land, unit: Record, action: str) -> Question:
    """The actions: the right one, all enemies that are there, and others."""
    units, regions = land.records["unit"], [region["id"] for region in land.records["region"]]
    here = [enemy["id"] for enemy in land.enemies(unit)]
    others = [f"attack {other['id']}" for other in random.sample(units, min(6, len(units)))]
    others += [f"go to {region}" for region in random.sample(regions, min(4, len(regions))) if region != unit["region"]]
    quest = land.quest_of.get(unit["id"])
    goals = {f"go to {quest['to']}"} if quest is not None and quest["to"] != unit["region"] else set()
    actions = list(dict.fromkeys([action, *[f"attack {enemy}" for enemy in here], _HOLD, *sorted(goals)]))
    others = [other for other in dict.fromkeys(others) if other not in actions and other != f"attack {unit['id']}"]
    random.shuffle(others)
    count = random.randint(max(_FEWEST, len(actions)), _MOST)
    actions += others[: count - len(actions)]
    random.shuffle(actions)
    return Question(f"You lead {unit['id']}. What does it do?", action, 1 / len(actions), tuple(actions))
