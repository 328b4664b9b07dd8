"""What is in the pool, and what goes when there is too little room."""

import pytest
import torch

from agent_runtime.engine.errors import PinBooksError, PoolFull
from agent_runtime.engine.kv_geometry import KVGeometry
from agent_runtime.engine.pool import Pool
from agent_runtime.engine.span import NOTHING
from agent_runtime.residents import Resident, Residents, Standing
from agent_runtime.token_blocks import TokenBlock
from agent_runtime.turn import Mode


def residents(num_slots: int) -> Residents:
    return Residents(Pool(KVGeometry(1, 2, torch.float32, (torch.device("cpu"),)), num_slots))


def block(name: str, length: int) -> TokenBlock:
    return TokenBlock(name, tuple(range(length)), name)


def left_by(made: Residents, session: str, *held: Resident) -> None:
    """A turn of a session has ended now, and leaves how it stood."""
    made.tick()
    for resident in held:
        made.pin(resident)
    found = {resident.block.key: resident for resident in held}
    blocks = tuple(resident.block for resident in held)
    made.keep(session, Standing("match", Mode.STAR, blocks, found, held, (), NOTHING, None))


def in_pool(made: Residents) -> set[str]:
    return {resident.block.name for resident in made._table.values()}


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


def test_what_sessions_keep_goes_in_the_same_order_as_all_else_and_stays_while_another_keeps_it() -> None:
    made = residents(24)
    first, shared, second, third = (made.add(block(name, 4)) for name in ("first", "shared", "second", "third"))
    left_by(made, "a", first, shared)
    made.tick()
    made.unpin(made.pin(made.add(block("between", 4))))
    left_by(made, "b", shared, second)
    left_by(made, "c", third)
    made.check(0)
    made.make_room(8)
    assert in_pool(made) == {"between", "shared", "second", "third"}
    assert made.kept("a") is None and made.kept("b") is not None
    made.make_room(12)
    assert in_pool(made) == {"shared", "second", "third"}
    made.make_room(16)
    assert in_pool(made) == {"second", "third"} and made.kept("b") is None and made.kept("c") is not None
    made.check(0)
    with pytest.raises(PoolFull):
        made.make_room(25)
    assert made.kept("c") is not None
    made.make_room(24)
    assert not in_pool(made) and made.pool.num_free == 24


def test_what_a_turn_has_taken_over_is_no_room_for_another() -> None:
    made = residents(8)
    left_by(made, "a", made.add(block("a", 8)))
    standing = made.take("a")
    assert standing is not None and made.kept("a") is None
    with pytest.raises(PoolFull):
        made.make_room(1)
    made.check(1)
    made.keep("a", standing)
    made.make_room(1)


def test_what_a_session_keeps_and_a_turn_needs_as_well_costs_nobody_their_blocks() -> None:
    made = residents(12)
    needed, other = made.add(block("needed", 4)), made.add(block("other", 4))
    made.unpin(made.pin(made.add(block("loose", 4))))
    left_by(made, "a", needed, other)
    left_by(made, "b", needed)
    made.pin(needed)
    with pytest.raises(PoolFull):
        made.make_room(9)
    assert in_pool(made) == {"needed", "other", "loose"} and made.kept("a") is not None
    made.make_room(8)
    assert in_pool(made) == {"needed"}
    made.check(1)


def test_the_standings_of_many_sessions_are_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent_runtime.residents._MOST_KEPT", 2)
    made = residents(8)
    resident = made.add(block("one", 8))
    for session in "abc":
        left_by(made, session, resident)
    assert [made.kept(session) is None for session in "abc"] == [True, False, False]
    assert resident.pins == 2
    left_by(made, "c", resident)
    assert resident.pins == 2
    made.let_go("b")
    made.let_go("nobody")
    made.check(0)


def test_a_pin_too_many_is_seen_in_the_books() -> None:
    made = residents(8)
    made.pin(made.add(block("one", 4)))
    made.check(1)
    with pytest.raises(PinBooksError, match="1 pins instead of 0"):
        made.check(0)
