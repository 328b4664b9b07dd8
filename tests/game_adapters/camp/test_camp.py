from game_adapters import load_adapter, make_env
from game_adapters.camp import Camp

ADAPTER = load_adapter("camp")


def test_an_observation_names_who_is_there_but_not_what_they_are() -> None:
    env = make_env("camp", 4)
    world = env.unwrapped.world
    name, unit = next(iter(world.units.items()))
    unit.at = world.npcs["npc_0"].at
    text = Camp().observation(env, "npc_0")
    assert name in text
    assert world.npcs["npc_0"].sheet.weapon in text
    assert unit.kind not in text
    world.alarm_since = 0
    assert "The alarm rings." in Camp().observation(env, "npc_0")


def test_the_answers_are_few_and_name_what_is_there() -> None:
    env = make_env("camp", 4, blocks=300)
    view = ADAPTER.turn(env)
    assert view is not None
    world = env.unwrapped.world
    exits = world.regions[world.npcs["npc_0"].at].exits
    assert {f"go to {region}" for region in exits} <= {offer.id for offer in view.actions}
    assert len(view.actions) < 20


def test_things_that_are_not_there_are_said_in_words() -> None:
    env = make_env("camp", 4)
    world = env.unwrapped.world
    unit, item = next(iter(world.units)), next(iter(world.items))
    world.units[unit].at = None
    world.items[item].at, world.items[item].held_by = None, "npc_1"
    state = Camp().describe(env, "npc_0")
    assert state["units"][unit]["at"] == "driven off"
    assert state["items"][item] == {"held_by": "npc_1"}
    assert state["alarm"] == {"rings": False}
