import pytest

from game_adapters.camp import rules
from game_adapters.camp.rules import Deed
from game_adapters.camp.world import MAX_HEALTH, Orders, World, WorldSize, make_world


def quiet_world(seed: int = 1) -> World:
    """A camp with no unit in sight, and npc_0 on guard where it stands."""
    world = make_world(seed, WorldSize.of(40, 2))
    for unit in world.units.values():
        unit.at = None
    for npc in world.npcs.values():
        npc.orders = Orders("guard", npc.at)
    return world


def meet(world: World, *, beaten: bool) -> str:
    """Puts a unit where npc_0 stands that its weapon beats, or does not; returns its name."""
    npc = world.npcs["npc_0"]
    name, unit = next(iter(world.units.items()))
    unit.at = npc.at
    beats = world.rules.beats[npc.sheet.weapon]
    unit.kind = next(kind for kind in ("bandit", "bear", "boar", "wolf", "wraith") if (kind in beats) == beaten)
    return name


def test_a_guard_at_its_post_holds() -> None:
    assert rules.asked_for(quiet_world(), "npc_0") == (Deed("hold"),)


def test_a_unit_that_the_weapon_beats_is_attacked_and_driven_off() -> None:
    world = quiet_world()
    name = meet(world, beaten=True)
    assert rules.asked_for(world, "npc_0") == (Deed("attack", name),)
    assert rules.act(world, "npc_0", Deed("attack", name)) == (1.0, (f"/units/{name}",))
    assert world.units[name].at is None


def test_a_lost_fight_costs_health_and_reward_but_never_the_last_health() -> None:
    world = quiet_world()
    name = meet(world, beaten=False)
    for health in range(MAX_HEALTH - 1, 0, -1):
        assert rules.act(world, "npc_0", Deed("attack", name)) == (-1.0, ("/npcs/npc_0/status",))
        assert world.npcs["npc_0"].health == health
    assert rules.act(world, "npc_0", Deed("attack", name)) == (-1.0, ())


@pytest.mark.parametrize("danger", ["raise alarm", "go home"])
def test_a_stronger_unit_is_answered_as_the_rules_of_the_place_say(danger: str) -> None:
    world = next(w for w in map(quiet_world, range(50)) if w.rules.danger == danger and len(w.regions) > 3)
    npc = world.npcs["npc_0"]
    meet(world, beaten=False)
    if danger == "raise alarm":
        assert rules.asked_for(world, "npc_0") == (Deed("raise alarm"),)
    else:
        assert rules.asked_for(world, "npc_0") == rules.towards(world, npc.at, npc.sheet.home)


@pytest.mark.parametrize("on_alarm", ["gather", "go home", "hold"])
def test_the_alarm_comes_before_rest_and_orders(on_alarm: str) -> None:
    world = next(w for w in map(quiet_world, range(50)) if w.rules.on_alarm == on_alarm)
    npc = world.npcs["npc_0"]
    npc.at = next(region for region in world.regions if region not in (npc.sheet.home, world.rules.gather_at))
    npc.health = 1
    assert rules.asked_for(world, "npc_0") == (Deed("rest"),)
    world.alarm_since = world.tick
    goal = {"gather": world.rules.gather_at, "go home": npc.sheet.home, "hold": npc.at}[on_alarm]
    assert rules.asked_for(world, "npc_0") == rules.towards(world, npc.at, goal)


def test_an_alarm_without_cause_costs_reward_and_falls_silent_after_its_ticks() -> None:
    world = quiet_world()
    assert rules.act(world, "npc_0", Deed("raise alarm")) == (-1.0, ("/alarm",))
    assert not rules.is_legal(world, "npc_1", Deed("raise alarm"))
    world.tick += world.rules.alarm_ticks
    assert rules.happen(world, "npc_1", (), day_ends=False) == ("/alarm",)
    assert rules.is_legal(world, "npc_1", Deed("raise alarm"))


def test_a_rest_needs_a_wound_and_food_and_eats() -> None:
    world = quiet_world()
    assert not rules.is_legal(world, "npc_0", Deed("rest"))
    world.npcs["npc_0"].health = 1
    before = world.food
    assert rules.act(world, "npc_0", Deed("rest"))[1] == ("/npcs/npc_0/status", "/stores")
    assert world.food == before - world.rules.food_per_rest
    world.food = 0
    assert not rules.is_legal(world, "npc_0", Deed("rest"))


def test_what_an_item_needs_is_to_be_in_the_same_region() -> None:
    world = quiet_world()
    name, item = next(iter(world.items.items()))
    npc = world.npcs["npc_0"]
    npc.orders = Orders("fetch", name)
    item.at = world.regions[npc.at].exits[0]
    assert not rules.is_legal(world, "npc_0", Deed("pick up", name))
    assert Deed("go to", item.at) in rules.asked_for(world, "npc_0")
    rules.act(world, "npc_0", Deed("go to", item.at))
    assert rules.asked_for(world, "npc_0") == (Deed("pick up", name),)
    rules.act(world, "npc_0", Deed("pick up", name))
    assert (item.at, item.held_by) == (None, "npc_0")
    assert rules.asked_for(world, "npc_0") == (Deed("hold"),)


def test_towards_takes_every_shortest_way_and_only_those() -> None:
    world = quiet_world()
    places = list(world.regions)
    for exit_ in world.regions[places[0]].exits:
        assert rules.towards(world, places[0], exit_) == (Deed("go to", exit_),)
    assert rules.towards(world, places[0], places[0]) == (Deed("hold"),)
