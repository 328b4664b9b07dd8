"""What may be done in a camp, what it does, and what the rules ask for.

One step is one NPC's action and then at most one event. An action changes one part of the world (a rest two: the
sleeper and the stores), an event one, and never a part that the action has just changed; a rest is followed by no
event but dawn. So each step changes one or two parts, which is one or two blocks.
"""

from collections import deque
from dataclasses import dataclass
from typing import Literal

from game_adapters.camp.world import MAX_HEALTH, TICKS_PER_DAY, Orders, World, new_orders

CARAVAN_FOOD = 30
MAX_UNITS_AROUND_AN_NPC = 2
REWARD_ASKED_FOR, REWARD_LOST_FIGHT, REWARD_FALSE_ALARM = 1.0, -1.0, -1.0
Verb = Literal["hold", "rest", "raise alarm", "go to", "pick up", "attack"]


@dataclass(frozen=True, slots=True)
class Deed:
    """Something an NPC can do; its target is a region, an item, a unit, or nothing."""

    verb: Verb
    target: str | None = None

    def __str__(self) -> str:
        return self.verb if self.target is None else f"{self.verb} {self.target}"


def all_deeds(world: World) -> tuple[Deed, ...]:
    """Every deed of this world in a fixed order: its place is the action's number."""
    return (
        Deed("hold"),
        Deed("rest"),
        Deed("raise alarm"),
        *(Deed("go to", region) for region in world.regions),
        *(Deed("pick up", item) for item in world.items),
        *(Deed("attack", unit) for unit in world.units),
    )


def is_legal(world: World, npc_id: str, deed: Deed) -> bool:
    """Whether the NPC can do this now."""
    npc = world.npcs[npc_id]
    match deed.verb:
        case "hold":
            return True
        case "rest":
            return npc.health < MAX_HEALTH and world.food >= world.rules.food_per_rest
        case "raise alarm":
            return world.alarm_since is None
        case "go to":
            return deed.target in world.regions[npc.at].exits
        case "pick up":
            assert deed.target is not None
            return world.items[deed.target].at == npc.at
        case "attack":
            assert deed.target is not None
            return world.units[deed.target].at == npc.at


def asked_for(world: World, npc_id: str) -> tuple[Deed, ...]:
    """What the rules ask of the NPC now; any of these is right."""
    npc, rules = world.npcs[npc_id], world.rules
    here = [(name, unit.kind) for name, unit in world.units.items() if unit.at == npc.at]
    beaten = [name for name, kind in here if kind in rules.beats[npc.sheet.weapon]]
    if beaten:
        return tuple(Deed("attack", name) for name in beaten)
    if world.alarm_since is not None:
        goal = {"hold": npc.at, "go home": npc.sheet.home, "gather": rules.gather_at}[rules.on_alarm]
        return towards(world, npc.at, goal)
    if here:
        return (Deed("raise alarm"),) if rules.danger == "raise alarm" else towards(world, npc.at, npc.sheet.home)
    if npc.health < rules.rest_below and is_legal(world, npc_id, Deed("rest")):
        return (Deed("rest"),)
    if npc.orders.task == "guard":
        return towards(world, npc.at, npc.orders.target)
    lies_at = world.items[npc.orders.target].at
    if lies_at is None:
        return (Deed("hold"),)
    return (Deed("pick up", npc.orders.target),) if lies_at == npc.at else towards(world, npc.at, lies_at)


def towards(world: World, start: str, goal: str) -> tuple[Deed, ...]:
    """The first steps of all shortest ways; at the goal, to hold."""
    if start == goal:
        return (Deed("hold"),)
    distance = {goal: 0}
    queue = deque([goal])
    while queue:
        region = queue.popleft()
        for neighbour in world.regions[region].exits:
            if neighbour not in distance:
                distance[neighbour] = distance[region] + 1
                queue.append(neighbour)
    nearer = distance[start] - 1
    return tuple(Deed("go to", exit_) for exit_ in world.regions[start].exits if distance[exit_] == nearer)


def act(world: World, npc_id: str, deed: Deed) -> tuple[float, tuple[str, ...]]:
    """Does a legal deed. Returns the reward, and the parts of the state that changed as JSON Pointers."""
    assert is_legal(world, npc_id, deed)
    npc = world.npcs[npc_id]
    reward = REWARD_ASKED_FOR if deed in asked_for(world, npc_id) else 0.0
    match deed.verb:
        case "hold":
            return reward, ()
        case "rest":
            npc.health += 1
            world.food -= world.rules.food_per_rest
            return reward, (f"/npcs/{npc_id}/status", "/stores")
        case "raise alarm":
            world.alarm_since, world.alarm_by = world.tick, npc_id
            return reward or REWARD_FALSE_ALARM, ("/alarm",)
    assert deed.target is not None
    match deed.verb:
        case "go to":
            npc.at = deed.target
            return reward, (f"/npcs/{npc_id}/status",)
        case "pick up":
            item = world.items[deed.target]
            item.at, item.held_by = None, npc_id
            return reward, (f"/items/{deed.target}",)
        case "attack":
            unit = world.units[deed.target]
            if unit.kind in world.rules.beats[npc.sheet.weapon]:
                unit.at = None
                return reward, (f"/units/{deed.target}",)
            if npc.health == 1:
                return REWARD_LOST_FIGHT, ()
            npc.health -= 1
            return REWARD_LOST_FIGHT, (f"/npcs/{npc_id}/status",)


def happen(world: World, next_npc: str, touched: tuple[str, ...], day_ends: bool) -> tuple[str, ...]:
    """What the world does after an action: one event, none of what the action touched. Returns what changed."""
    if day_ends and world.tick % TICKS_PER_DAY == TICKS_PER_DAY - 1:
        eaten = world.rules.food_per_day
        world.food += -eaten if world.food >= eaten else CARAVAN_FOOD
        return ("/stores",)
    if len(touched) > 1:
        return ()
    if world.alarm_since is not None and world.tick >= world.alarm_since + world.rules.alarm_ticks:
        world.alarm_since = world.alarm_by = None
        return ("/alarm",)
    draw = world.random.random()
    if draw < 0.1:
        changed = _strike(world, touched)
    elif draw < 0.3:
        changed = _give_orders(world)
    elif draw < 0.6:
        changed = _arrive(world, next_npc, touched)
    else:
        changed = None
    return (changed or _wander(world, touched),)


def _strike(world: World, touched: tuple[str, ...]) -> str | None:
    """A unit hurts an NPC that stands where it is."""
    places = {unit.at for unit in world.units.values()}
    targets = [
        npc_id
        for npc_id, npc in world.npcs.items()
        if npc.health > 1 and npc.at in places and f"/npcs/{npc_id}/status" not in touched
    ]
    if not targets:
        return None
    npc_id = world.random.choice(targets)
    world.npcs[npc_id].health -= 1
    return f"/npcs/{npc_id}/status"


def _give_orders(world: World) -> str:
    """New orders for an NPC, first for one whose orders are done (its post reached, its item in somebody's hands)."""
    done = [
        npc_id
        for npc_id, npc in world.npcs.items()
        if (npc.at if npc.orders.task == "guard" else None) == _goal(world, npc.orders)
    ]
    npc_id = world.random.choice(done or list(world.npcs))
    npc = world.npcs[npc_id]
    npc.orders = new_orders(world, npc.orders)
    return f"/npcs/{npc_id}/orders"


def _goal(world: World, orders: Orders) -> str | None:
    return orders.target if orders.task == "guard" else world.items[orders.target].at


def _arrive(world: World, next_npc: str, touched: tuple[str, ...]) -> str | None:
    """A unit turns up where the next NPC to act stands, unless there are enough of them already."""
    place = world.npcs[next_npc].at
    if sum(unit.at == place for unit in world.units.values()) >= MAX_UNITS_AROUND_AN_NPC:
        return None
    elsewhere = [name for name, unit in world.units.items() if unit.at != place and f"/units/{name}" not in touched]
    if not elsewhere:
        return None
    name = world.random.choice(elsewhere)
    world.units[name].at = place
    return f"/units/{name}"


def _wander(world: World, touched: tuple[str, ...]) -> str:
    """A unit moves on, first one that stands with an NPC; one that was driven off comes back anywhere."""
    free = [name for name in world.units if f"/units/{name}" not in touched]
    watched = {npc.at for npc in world.npcs.values()}
    name = world.random.choice([name for name in free if world.units[name].at in watched] or free)
    unit = world.units[name]
    unit.at = world.random.choice(list(world.regions) if unit.at is None else list(world.regions[unit.at].exits))
    return f"/units/{name}"
