"""The camp in words: what an NPC sees, what it is told, and what it can do."""

from collections.abc import Iterable
from random import Random

from game_adapters.camp import environment
from game_adapters.camp.environment import CampEnv
from game_adapters.camp.world import (
    MAX_HEALTH,
    TICKS_PER_DAY,
    Item,
    Orders,
    Region,
    Rules,
    Sheet,
    Unit,
    World,
    WorldSize,
    new_orders,
)
from game_adapters.environments import Environment
from game_adapters.errors import BadOption, WrongEnvironment
from game_adapters.game_state import Json

DRIVEN_OFF = "driven off"


class Camp:
    """Contract of `camp`. The one private thing is an NPC's orders; all else in the camp is common knowledge."""

    plays_for_reward = True

    def make_env(self, seed: int, *, npcs: int = 3, blocks: int = 48, ticks: int = 20) -> Environment:
        """A camp whose state is `blocks` blocks to each of its `npcs` NPCs, for `ticks` ticks, reset."""
        if npcs < 1:
            raise BadOption("camp", "npcs", f"{npcs} NPCs leave nobody to act; at least 1.")
        if blocks < WorldSize.least_blocks(npcs):
            least = WorldSize.least_blocks(npcs)
            raise BadOption("camp", "blocks", f"{blocks} blocks do not hold {npcs} NPCs; at least {least}.")
        if ticks < 1:
            raise BadOption("camp", "ticks", f"{ticks} ticks leave no turn; at least 1.")
        env = environment.env(WorldSize.of(blocks, npcs), ticks)
        env.reset(seed=seed)
        return env

    def describe(self, env: Environment, agent: str) -> Json:
        """The camp as `agent` knows it: no orders but its own."""
        return _state(_camp(env), (agent,))

    def describe_match(self, env: Environment) -> Json:
        """The camp with everybody's orders."""
        return _state(_camp(env), env.possible_agents)

    def sight(self, agent: str) -> tuple[str, ...]:
        """Everything but the other NPCs' orders."""
        return ("!/npcs/*/orders", f"/npcs/{agent}/orders")

    def action_names(self, env: Environment, agent: str) -> list[str]:
        """hold, rest, raise alarm, go to each region, pick up each item, attack each unit."""
        camp = _camp(env)
        return camp.deed_names

    def observation(self, env: Environment, agent: str) -> str:
        """Who the agent is, where it stands and who stands there; what a unit is, is in the unit's block."""
        camp = _camp(env)
        world = camp.world
        npc = world.npcs[agent]
        units = [name for name, unit in world.units.items() if unit.at == npc.at]
        company = f"With you there: {', '.join(units)}." if units else "No unit is there."
        alarm = "The alarm rings." if world.alarm_since is not None else "All is quiet."
        return f"You are {npc.sheet.name} ({agent}) with a {npc.sheet.weapon}, at {npc.at}. {company} {alarm}"

    def action_texts(self, env: Environment, agent: str) -> list[str]:
        """None: the names say it."""
        camp = _camp(env)
        return [""] * len(camp.deed_names)

    def vary_hidden(self, env: Environment, agent: str, random: Random) -> bool:
        """Give everybody else other orders, and the camp another future."""
        world = _camp(env).world
        world.random = random
        others = [npc for npc_id, npc in world.npcs.items() if npc_id != agent]
        for npc in others:
            npc.orders = new_orders(world, npc.orders)
        return bool(others)


def _camp(env: Environment) -> CampEnv:
    camp = env.unwrapped
    if not isinstance(camp, CampEnv):
        raise WrongEnvironment("camp", str(camp))
    return camp


def _state(camp: CampEnv, eyes: Iterable[str]) -> Json:
    world = camp.world
    people: dict[str, dict[str, Json]] = {
        npc_id: {"sheet": _sheet(npc.sheet), "status": {"at": npc.at, "health": npc.health}}
        for npc_id, npc in world.npcs.items()
    }
    for npc_id in eyes:
        people[npc_id]["orders"] = _orders(world.npcs[npc_id].orders)
    return {
        "rules": _rules(world.rules),
        "map": {name: _region(region) for name, region in world.regions.items()},
        "npcs": people,
        "units": {name: _unit(unit) for name, unit in world.units.items()},
        "items": {name: _item(item) for name, item in world.items.items()},
        "stores": {"food": world.food},
        "alarm": _alarm(world),
        "clock": {"day": 1 + world.tick // TICKS_PER_DAY, "tick": world.tick + 1, "ticks": camp.ticks},
    }


def _rules(rules: Rules) -> Json:
    return {
        "fight": {weapon: list(kinds) for weapon, kinds in rules.beats.items()},
        "danger": {"answer": rules.danger},
        "alarm": {
            "answer": f"go to {rules.gather_at}" if rules.on_alarm == "gather" else rules.on_alarm,
            "rings_for_ticks": rules.alarm_ticks,
        },
        "food": {
            "eaten_a_day": rules.food_per_day,
            "eaten_a_rest": rules.food_per_rest,
            "most_health": MAX_HEALTH,
            "rest_below_health": rules.rest_below,
        },
    }


def _region(region: Region) -> Json:
    return {"exits": list(region.exits), "ground": region.ground, "look": region.look}


def _sheet(sheet: Sheet) -> Json:
    return {
        "name": sheet.name,
        "trade": sheet.trade,
        "weapon": sheet.weapon,
        "temper": sheet.temper,
        "home": sheet.home,
        "story": sheet.story,
    }


def _orders(orders: Orders) -> Json:
    return {"task": orders.task, "target": orders.target}


def _unit(unit: Unit) -> Json:
    return {"kind": unit.kind, "at": unit.at or DRIVEN_OFF, "mark": unit.mark}


def _item(item: Item) -> Json:
    return {"at": item.at} if item.held_by is None else {"held_by": item.held_by}


def _alarm(world: World) -> Json:
    return {"rings": False} if world.alarm_by is None else {"rings": True, "raised_by": world.alarm_by}
