"""Free stretches against a plain set of numbers."""

from hypothesis import given, settings
from hypothesis import strategies as st

from agent_runtime.engine.extents import FreeExtents


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 20)), max_size=60))
def test_what_is_taken_was_free_and_what_is_put_back_is_free_again_in_merged_stretches(
    moves: list[tuple[bool, int]],
) -> None:
    free, expected, held = FreeExtents([(3, 17), (30, 10)]), {*range(3, 20), *range(30, 40)}, []
    for takes, number in moves:
        if takes and number <= len(expected):
            taken = free.take(number)
            numbers = {n for first, count in taken for n in range(first, first + count)}
            assert len(numbers) == number and numbers <= expected and taken == sorted(taken)
            expected -= numbers
            held.extend(taken)
        elif held:
            first, count = held.pop(number % len(held))
            free.put_back(first, count)
            expected |= set(range(first, first + count))
        found = list(free)
        assert {n for first, count in found for n in range(first, first + count)} == expected
        assert free.num_free == len(expected)
        assert all(sum(left) < right[0] for left, right in zip(found, found[1:], strict=False))


def test_one_stretch_is_preferred_and_the_smallest_that_holds_it() -> None:
    free = FreeExtents([(0, 5), (10, 3), (20, 9)])
    assert free.take(3) == [(10, 3)]
    assert free.take(6) == [(20, 6)]
    assert free.take(7) == [(0, 5), (26, 2)]
