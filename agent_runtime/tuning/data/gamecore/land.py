"""A land: one synthetic state of a game, of an exact number of blocks.

What a question may ask about is unique where the question needs it: every unit is the ally of one other, every thing is
carried or lies once, a unit is the hero of one quest at most. Places are dealt so that counts from 0 up to the
largest asked for occur, whatever the size of the land.
"""

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import Any

from agent_runtime.tuning.data.gamecore.details import add_details
from agent_runtime.tuning.data.gamecore.links import BY_LABEL, Drawn, Kind, Link, Record, links_of
from agent_runtime.tuning.data.names import Manner, names, things
from agent_runtime.tuning.samples import Split

TEAMS = ("blue", "gold", "green", "red")
WEAPONS = ("axe", "bow", "dagger", "mace", "sling", "spear", "staff", "sword")
TERRAINS = ("cave", "desert", "forest", "plain", "ridge", "shore", "swamp")
# What /rules/fights can say. Which of two wins: by what is compared, and whether the larger one does.
WINNERS = {
    "more power": ("power", True),
    "less power": ("power", False),
    "more hp": ("hp", True),
    "fewer hp": ("hp", False),
}
ATTACKS = {"the most hp": True, "the fewest hp": False}
LARGEST_COUNT = 6
SMALLEST_LAND = 8

_NUM_RULES = 2
# Of the blocks that are no rules; units are the rest.
_REGION_SHARE, _QUEST_SHARE, _ITEM_SHARE = 0.17, 0.1, 0.14
_SMALLEST_WITH_ITEMS = 12
# For so many units each count is dealt once.
_UNITS_PER_ROUND = 45


@dataclass(frozen=True)
class Land:
    """A state, and what is known of it as a whole. `state` is what the game would send."""

    state: Record
    largest_count: int

    @cached_property
    def records(self) -> dict[Kind, list[Record]]:
        """All records, in the order of the prompt."""
        state = self.state
        return {
            "region": state["regions"],
            "unit": state["units"],
            "item": state.get("items", []),
            "quest": state["quests"],
        }

    @cached_property
    def by_id(self) -> dict[str, Record]:
        """Every record by its id: no two of any kind have the same."""
        return {record["id"]: record for records in self.records.values() for record in records}

    @cached_property
    def units_of(self) -> dict[str, list[Record]]:
        """The units in each region, in the order of the prompt."""
        found: dict[str, list[Record]] = {region["id"]: [] for region in self.state["regions"]}
        for unit in self.state["units"]:
            found[unit["region"]].append(unit)
        return found

    @cached_property
    def counted(self) -> list[tuple[str, str, int]]:
        """Team, region and how many units of that team are there: as many places of each count as of any other."""
        places: dict[int, list[tuple[str, str, int]]] = defaultdict(list)
        for region, units in self.units_of.items():
            for team in TEAMS:
                count = sum([unit["team"] == team for unit in units])
                places[count].append((team, region, count))
        counts = range(self.largest_count + 1)
        num_each = min([len(places[count]) for count in counts])
        return [place for count in counts for place in places[count][:num_each]]

    @cached_property
    def quest_of(self) -> dict[str, Record]:
        """The quest of each hero."""
        return {quest["hero"]: quest for quest in self.state["quests"]}

    @cached_property
    def num_values(self) -> dict[tuple[Kind, str], int]:
        """How many different values a field or link has in records of a kind; of notes, how many different events."""
        found: dict[tuple[Kind, str], set[Any]] = defaultdict(set)
        for kind, records in self.records.items():
            for record in records:
                for field, value in (*record.items(), *record.get("links", {}).items()):
                    if isinstance(value, (str, int)):
                        found[kind, field].add(value)
                    elif field == "notes":
                        found[kind, field].update([note["event"] for note in value])
        return {place: len(values) for place, values in found.items()}

    @cached_property
    def linked(self) -> dict[Link, list[tuple[Record, Record]]]:
        """For each link that is here, the records that have it with those that it leads to."""
        found: dict[Link, list[tuple[Record, Record]]] = defaultdict(list)
        for kind, records in self.records.items():
            for record in records:
                for label, name in links_of(record, kind).items():
                    if name in self.by_id:  # a thing that is carried may have no record
                        found[BY_LABEL[kind, label]].append((record, self.by_id[name]))
        return dict(found)

    @cached_property
    def only_ones(self) -> dict[Link, list[tuple[str, Record]]]:
        """For each link that one can go back: the names that it leads to from one record alone, and that record."""
        found: dict[Link, dict[str, list[Record]]] = defaultdict(lambda: defaultdict(list))
        for kind, records in self.records.items():
            for record in records:
                for label, name in links_of(record, kind).items():
                    if BY_LABEL[kind, label].back:
                        found[BY_LABEL[kind, label]][name].append(record)
        only = {
            link: [(name, records[0]) for name, records in ends.items() if len(records) == 1]
            for link, ends in found.items()
        }
        return {link: ends for link, ends in only.items() if ends}

    def power(self, unit: Record) -> int:
        """The power of a unit's weapon."""
        return int(self.state["rules"]["fights"]["power"][unit["weapon"]])

    def enemies(self, unit: Record) -> list[Record]:
        """The units of other teams in a unit's region."""
        return [other for other in self.units_of[unit["region"]] if other["team"] != unit["team"]]


def make_land(
    random: Random,
    split: Split,
    num_blocks: int,
    block_tokens: float,
    manner: Manner = "like",
    links: Drawn = "known",
) -> Land:
    """Return a land of `num_blocks` blocks (at least `SMALLEST_LAND`) of about `block_tokens` tokens each."""
    num_regions, num_units, num_items, num_quests = _sizes(random, num_blocks)
    taken: set[str] = set()
    regions, units, quests = (
        names(random, split, count, taken, varied=True, manner=manner) for count in (num_regions, num_units, num_quests)
    )
    num_carried = min(num_units, round(num_items * 0.6))
    goods = things(random, split, num_units + num_items - num_carried, manner=manner)
    carried, lying = goods[:num_units], goods[num_units:]
    described = [*random.sample(carried, num_carried), *lying]
    random.shuffle(described)
    places, largest_count = _places(random, regions, num_units)
    state: Record = {
        "clock": {"day": random.randint(30, 99)},
        "rules": _rules(random),
        "regions": [_region(random, name, regions) for name in regions],
        "units": [
            _unit(random, name, place, ally, thing)
            for name, place, ally, thing in zip(units, places, _allies(random, units), carried, strict=True)
        ],
    }
    if described:  # an empty array would be a block of its own
        state["items"] = [_item(random, name, regions if name in set(lying) else ()) for name in described]
    state["quests"] = _quests(random, state, quests, described or carried, carried)
    add_details(random, state, block_tokens, links)
    return Land(state, largest_count)


def _sizes(random: Random, num_blocks: int) -> tuple[int, int, int, int]:
    """How many regions, units, items and quests."""
    rest = num_blocks - _NUM_RULES
    assert num_blocks >= SMALLEST_LAND
    regions = max(2, round(rest * _REGION_SHARE * random.uniform(0.8, 1.2)))
    quests = max(1, round(rest * _QUEST_SHARE * random.uniform(0.8, 1.2)))
    items = round(rest * _ITEM_SHARE * random.uniform(0.8, 1.2)) if num_blocks >= _SMALLEST_WITH_ITEMS else 0
    return regions, rest - regions - quests - items, items, quests


def _rules(random: Random) -> Record:
    powers = random.sample(range(10, 100), len(WEAPONS))
    days = random.sample(range(1, 10), len(TERRAINS))
    return {
        "fights": {
            "power": dict(zip(WEAPONS, powers, strict=True)),
            "winner": random.choice(list(WINNERS)),
            "attack": random.choice(list(ATTACKS)),
        },
        "land": dict(zip(TERRAINS, days, strict=True)),
    }


def _places(random: Random, regions: list[str], num_units: int) -> tuple[list[tuple[str, str]], int]:
    """Team and region of every unit, and the largest k so that 0, 1, ..., k units of a team are somewhere."""
    pairs = [(team, region) for team in TEAMS for region in regions]
    random.shuffle(pairs)
    largest = max(k for k in range(1, LARGEST_COUNT + 1) if k * (k + 1) // 2 <= num_units and k + 2 <= len(pairs))
    rounds = max(1, num_units // _UNITS_PER_ROUND)
    num_dealt = rounds * (largest + 1)
    dealt = [pair for place, pair in enumerate(pairs[:num_dealt]) for _ in range(place % (largest + 1))]
    others = {pair: 0 for pair in pairs[num_dealt:]}
    while len(dealt) < num_units:
        pair = random.choice(list(others))
        dealt.append(pair)
        others[pair] += 1
        if others[pair] == LARGEST_COUNT and len(others) > 1:
            del others[pair]
    random.shuffle(dealt)
    return dealt, largest


def _allies(random: Random, units: list[str]) -> list[str]:
    """An ally for each, in one ring through all."""
    ring = random.sample(units, len(units))
    after = dict(zip(ring, [*ring[1:], ring[0]], strict=True))
    return [after[unit] for unit in units]


def _region(random: Random, name: str, regions: list[str]) -> Record:
    others = [other for other in random.sample(regions, min(4, len(regions))) if other != name]
    return {
        "id": name,
        "terrain": random.choice(TERRAINS),
        "danger": random.randint(10, 99),
        "roads": others[: random.randint(1, 2)],
    }


def _unit(random: Random, name: str, place: tuple[str, str], ally: str, thing: str) -> Record:
    team, region = place
    return {
        "id": name,
        "team": team,
        "hp": random.randint(10, 99),
        "weapon": random.choice(WEAPONS),
        "region": region,
        "ally": ally,
        "carries": thing,
    }


def _item(random: Random, name: str, regions: list[str] | tuple[()]) -> Record:
    item: Record = {"id": name, "weight": random.randint(1, 9), "worth": random.randint(10, 99)}
    return {**item, "lies_in": random.choice(regions)} if regions else item


def _quests(random: Random, state: Record, quests: list[str], wanted: list[str], carried: list[str]) -> list[Record]:
    """Quests, each for another thing and with another hero; some of the heroes have no enemy where they are."""
    teams: dict[str, set[str]] = defaultdict(set)
    for unit in state["units"]:
        teams[unit["region"]].add(unit["team"])
    calm = [unit for unit in state["units"] if len(teams[unit["region"]]) == 1]
    heroes = random.sample(calm, min(len(calm), (len(quests) + 1) // 2))
    chosen = {hero["id"] for hero in heroes}
    heroes += random.sample([unit for unit in state["units"] if unit["id"] not in chosen], len(quests) - len(heroes))
    random.shuffle(heroes)
    if len(wanted) < len(quests):
        wanted = [*wanted, *[thing for thing in carried if thing not in set(wanted)]]
    found = []
    regions = [region["id"] for region in state["regions"]]
    for name, hero, thing in zip(quests, heroes, random.sample(wanted, len(quests)), strict=True):
        to = hero["region"] if random.random() < 0.15 else random.choice(regions)
        found.append({"id": name, "hero": hero["id"], "bring": thing, "to": to, "reward": random.randint(10, 99)})
    return found
