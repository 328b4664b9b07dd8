"""Decisions: which of the listed actions is to be taken, by the rules of `folders/gamecore/rules.md` and the land.

A unit that is led asks for several blocks and the rules at once, and nothing may be written on the way; attacks on
units elsewhere, ways to other regions and holding are listed besides the right action, at random places. An errand asks
for one block.
"""

from random import Random

from agent_runtime.tuning.data.asking import Question
from agent_runtime.tuning.data.gamecore.land import ATTACKS, Kind, Land, Record

_HOLD = "hold"
# Errands: what is told, the record it names, what of that record is done, and how.
_ERRANDS: tuple[tuple[str, Kind, str, str], ...] = (
    ("You are to go where {} is.", "unit", "region", "go to {}"),
    ("You are to attack the ally of {}.", "unit", "ally", "attack {}"),
    ("You are to take what {} carries.", "unit", "carries", "take {}"),
    ("You are to go where {} lies.", "item", "lies_in", "go to {}"),
    ("You are to bring what quest {} asks for.", "quest", "bring", "bring {}"),
)
_FEWEST, _MOST = 3, 8
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
