"""The prefix rival against the obvious definition: the longest common beginning with anything kept."""

import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent_runtime.engine.kv_geometry import KVGeometry
from agent_runtime.engine.pool import Pool
from agent_runtime.engine.prefix_tree import PrefixTree
from agent_runtime.engine.runs import joined

GEOMETRY = KVGeometry(1, 2, torch.float32, (torch.device("cpu"),))


@settings(max_examples=200, deadline=None)
@example([[1, 2, 3, 9], [1, 2, 3, 8], [1, 2, 9], [1, 2, 9, 4]])
@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=12), min_size=1, max_size=16))
def test_a_match_is_the_longest_common_prefix_and_its_slots_hold_those_tokens(prompts: list[list[int]]) -> None:
    pool = Pool(GEOMETRY, 512)
    tree, token_at, kept = PrefixTree(pool), {}, []
    for now, ids in enumerate(prompts):
        found = tree.match(ids, now)
        longest = max((_common(ids, other) for other in kept), default=0)
        assert found.length == longest
        assert [token_at[slot] for slot in found.slots()] == ids[:longest]
        fresh = pool.acquire(len(ids) - longest)
        token_at.update(zip(fresh.slots(), ids[longest:], strict=True))
        tree.insert(ids, joined((found, fresh)), now)
        kept.append(ids)
        pool.release(found)
        pool.release(fresh)
        pool.check(tree.held())
    while tree.evict_oldest():
        pool.check(tree.held())
    assert pool.num_free == 512
    assert tree.oldest() is None


def test_the_least_recently_used_leaf_goes_first_and_shared_beginnings_stay() -> None:
    pool = Pool(GEOMETRY, 64)
    tree = PrefixTree(pool)
    for now, ids in enumerate(([1, 2, 3, 4], [1, 2, 5, 6, 7])):
        run = pool.acquire(len(ids))
        tree.insert(ids, run, now)
        pool.release(run)
    pool.release(tree.match([1, 2, 3, 4], 5))
    assert tree.evict_oldest() == 3
    for ids, length in (([1, 2, 3, 4], 4), ([1, 2, 5], 2)):
        found = tree.match(ids, 6)
        assert found.length == length
        pool.release(found)


def _common(left: list[int], right: list[int]) -> int:
    length = 0
    while length < min(len(left), len(right)) and left[length] == right[length]:
        length += 1
    return length
