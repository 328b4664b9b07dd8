"""What there is in a camp, and how a seed makes one. How it moves is in `rules`.

A world's sizes depend on its `WorldSize` alone, so that all seeds share one action space; everything else, the rules
of the place included, comes from the seed.
"""

from dataclasses import dataclass
from random import Random
from typing import Literal

from game_adapters.camp import names

MAX_HEALTH = 5
TICKS_PER_DAY = 4
FOOD_AT_START = 24
# rules (4), stores, alarm, and one's own orders; each NPC adds its sheet and its status.
FIXED_BLOCKS, BLOCKS_PER_NPC = 7, 2


@dataclass(frozen=True, slots=True)
class WorldSize:
    """How many of each there are. An NPC sees `blocks` blocks: one each, and the fixed ones."""

    npcs: int
    regions: int
    items: int
    units: int

    @property
    def blocks(self) -> int:
        """Blocks of the state as one NPC sees it."""
        return FIXED_BLOCKS + BLOCKS_PER_NPC * self.npcs + self.regions + self.items + self.units

    @classmethod
    def of(cls, blocks: int, npcs: int) -> "WorldSize":
        """The size whose state has exactly `blocks` blocks: units most, then regions, then items."""
        assert blocks >= cls.least_blocks(npcs)
        rest = blocks - FIXED_BLOCKS - BLOCKS_PER_NPC * npcs
        regions = max(3, round(0.3 * rest))
        items = max(1, round(0.2 * rest))
        return cls(npcs=npcs, regions=regions, items=items, units=rest - regions - items)

    @staticmethod
    def least_blocks(npcs: int) -> int:
        """The smallest camp: three regions, an item, and two units."""
        return FIXED_BLOCKS + BLOCKS_PER_NPC * npcs + 6


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds in this camp and perhaps in no other."""

    beats: dict[str, tuple[str, ...]]
    danger: Literal["raise alarm", "go home"]
    on_alarm: Literal["gather", "go home", "hold"]
    gather_at: str
    alarm_ticks: int
    food_per_day: int
    food_per_rest: int
    rest_below: int


@dataclass(frozen=True, slots=True)
class Region:
    """A place and the places one can go to from it."""

    exits: tuple[str, ...]
    ground: str
    look: str


@dataclass(frozen=True, slots=True)
class Sheet:
    """Who an NPC is; it never changes."""

    name: str
    trade: str
    weapon: str
    temper: str
    home: str
    story: str


@dataclass(frozen=True, slots=True)
class Orders:
    """What an NPC was told in private: guard a region, or fetch an item."""

    task: Literal["guard", "fetch"]
    target: str


@dataclass(slots=True)
class Npc:
    """An NPC as it stands."""

    sheet: Sheet
    at: str
    health: int
    orders: Orders


@dataclass(slots=True)
class Unit:
    """A unit as it stands; `at` is None while it is driven off."""

    kind: str
    at: str | None
    mark: str


@dataclass(slots=True)
class Item:
    """Something to carry: it lies in a region, or an NPC holds it and `at` is None."""

    at: str | None
    held_by: str | None = None


@dataclass(slots=True)
class World:
    """A camp as it stands. `random` is what is left of the seed; the future depends on it and the actions alone."""

    size: WorldSize
    random: Random
    rules: Rules
    regions: dict[str, Region]
    npcs: dict[str, Npc]
    units: dict[str, Unit]
    items: dict[str, Item]
    food: int = FOOD_AT_START
    alarm_since: int | None = None
    alarm_by: str | None = None
    tick: int = 0


def make_world(seed: int, size: WorldSize) -> World:
    """The camp of this seed."""
    random = Random(seed)
    places = names.regions(random, size.regions)
    world = World(
        size=size,
        random=random,
        rules=_rules(random, places),
        regions=_regions(random, places),
        npcs={},
        units={
            name: Unit(random.choice(names.KINDS), random.choice(places), names.mark(random))
            for name in names.units(random, size.units)
        },
        items={name: Item(random.choice(places)) for name in names.items(random, size.items)},
    )
    for number, name in enumerate(names.people(random, size.npcs)):
        home = random.choice(places)
        sheet = Sheet(
            name=name,
            trade=random.choice(names.TRADES),
            weapon=random.choice(names.WEAPONS),
            temper=random.choice(names.TEMPERS),
            home=home,
            story=names.story(random),
        )
        world.npcs[f"npc_{number}"] = Npc(sheet, home, MAX_HEALTH, new_orders(world, None))
    return world


def new_orders(world: World, old: Orders | None) -> Orders:
    """Orders that differ from the old ones; an item that somebody holds is never to be fetched."""
    lying = [name for name, item in world.items.items() if item.at is not None]
    while True:
        if lying and world.random.random() < 0.5:
            orders = Orders("fetch", world.random.choice(lying))
        else:
            orders = Orders("guard", world.random.choice(list(world.regions)))
        if orders != old:
            return orders


def _rules(random: Random, places: list[str]) -> Rules:
    return Rules(
        beats={weapon: tuple(sorted(random.sample(names.KINDS, random.choice((2, 3))))) for weapon in names.WEAPONS},
        danger=random.choice(("raise alarm", "go home")),
        on_alarm=random.choice(("gather", "go home", "hold")),
        gather_at=random.choice(places),
        alarm_ticks=random.choice((1, 2)),
        food_per_day=random.randint(2, 6),
        food_per_rest=random.randint(1, 3),
        rest_below=random.choice((3, 4)),
    )


def _regions(random: Random, places: list[str]) -> dict[str, Region]:
    """A ring with a chord for every third place: connected, and nowhere more than a few ways out."""
    exits: dict[str, set[str]] = {place: set() for place in places}
    around = list(zip(places, places[1:] + places[:1], strict=True))
    chords = [tuple(random.sample(places, 2)) for _ in range(len(places) // 3)]
    for one, other in [*around, *chords]:
        exits[one].add(other)
        exits[other].add(one)
    return {
        place: Region(
            exits=tuple(sorted(exits[place])),
            ground=random.choice(names.GROUNDS),
            look=names.look(random),
        )
        for place in places
    }
