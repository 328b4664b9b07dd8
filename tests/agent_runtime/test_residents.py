"""What is in the pool, and what goes when there is too little room."""

import pytest
import torch

from agent_runtime.engine.errors import PoolFull
from agent_runtime.engine.pool import KVGeometry, Pool
from agent_runtime.residents import Residents
from agent_runtime.token_blocks import TokenBlock


def residents(num_slots: int) -> Residents:
    return Residents(Pool(KVGeometry(1, 2, torch.float32, (torch.device("cpu"),)), num_slots))


def block(name: str, length: int) -> TokenBlock:
    return TokenBlock(name, tuple(range(length)), name)


def test_room_that_cannot_be_made_costs_nobody_their_blocks() -> None:
    made = residents(20)
    free = made.add(block("free", 4))
    pinned = made.pin(made.add(block("pinned", 6)))
    run = made.acquire(8)
    made.insert_prefix(range(8), run, "")
    kept_by_a_turn = made.pool.share(run.part(0, 3))
    made.pool.release(run)
    with pytest.raises(PoolFull):
        made.make_room(12)  # 2 free, 4 and 5 may go, 6 and 3 are in use
    assert set(made.pin_known(["free", "pinned"])) == {"free", "pinned"}
    made.unpin(free)
    made.unpin(pinned)
    assert list(made.held_prefixes())
    made.make_room(11)
    assert made.pool.num_free == 11
    made.pool.check([*made.held(), kept_by_a_turn])


def test_the_least_recently_used_goes_first_whatever_it_is() -> None:
    made = residents(12)
    made.add(block("old", 4))
    made.tick()
    run = made.acquire(4)
    made.insert_prefix(range(4), run, "")
    made.pool.release(run)
    made.tick()
    made.unpin(made.pin(made.add(block("new", 4))))
    made.make_room(4)
    assert list(made.pin_known(["old", "new"])) == ["new"]
    assert list(made.held_prefixes())
    made.make_room(8)
    assert not list(made.held_prefixes())


def test_a_prefix_is_found_under_its_own_salt_only_and_goes_in_one_order_with_all_others() -> None:
    made = residents(12)
    for salt in ("", "a", "b"):
        run = made.acquire(4)
        made.insert_prefix(range(4), run, salt)
        made.pool.release(run)
    assert made.match_prefix(range(4), "c").length == 0
    for salt in ("", "b"):
        found = made.match_prefix(range(4), salt)
        assert found.length == 4
        made.pool.release(found)
    made.make_room(4)
    assert made.match_prefix(range(4), "a").length == 0
    made.pool.release(found := made.match_prefix(range(4), ""))
    assert found.length == 4
    made.make_room(8)
    assert made.match_prefix(range(4), "b").length == 0
    assert len(list(made.held())) == 1
    made.make_room(12)
    assert not list(made.held())
    made.pool.check([])
