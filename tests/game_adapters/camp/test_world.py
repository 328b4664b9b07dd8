from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from game_adapters.camp.world import WorldSize, make_world, new_orders


@given(npcs=st.integers(1, 60), extra=st.integers(0, 900))
def test_a_size_has_exactly_the_blocks_it_was_made_for(npcs: int, extra: int) -> None:
    blocks = WorldSize.least_blocks(npcs) + extra
    size = WorldSize.of(blocks, npcs)
    assert size.blocks == blocks
    assert size.npcs == npcs and size.regions >= 3 and size.items >= 1 and size.units >= 2


@pytest.mark.parametrize("seed", range(10))
def test_every_region_can_be_reached_and_left(seed: int) -> None:
    world = make_world(seed, WorldSize.of(80, 3))
    reached, edge = set(), [next(iter(world.regions))]
    while edge:
        region = edge.pop()
        if region not in reached:
            reached.add(region)
            edge += world.regions[region].exits
    assert reached == set(world.regions)
    assert all(name not in region.exits for name, region in world.regions.items())


def test_the_seed_makes_the_world_and_its_rules() -> None:
    size = WorldSize.of(48, 3)

    def content(seed: int) -> dict[str, object]:
        world = make_world(seed, size)
        return {
            "rules": asdict(world.rules),
            "units": list(world.units),
            "npcs": [n.sheet for n in world.npcs.values()],
        }

    assert content(4) == content(4)
    assert len({str(content(seed)["rules"]) for seed in range(20)}) == 20


def test_new_orders_differ_from_the_old_and_never_send_for_what_somebody_holds() -> None:
    world = make_world(1, WorldSize.of(30, 3))
    held, *_ = world.items
    world.items[held].at, world.items[held].held_by = None, "npc_0"
    orders = None
    for _ in range(200):
        following = new_orders(world, orders)
        assert following != orders
        assert following.target != held
        orders = following
