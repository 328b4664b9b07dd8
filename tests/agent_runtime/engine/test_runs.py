"""Runs of slots, cut and put together, are of the slots that their tokens have."""

import numpy
from hypothesis import given
from hypothesis import strategies as st

from agent_runtime.engine.runs import EMPTY_RUN, Run, joined, stretched

extents = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9)), max_size=5)
runs = extents.map(lambda some: Run(tuple(some), sum(length for _, length in some)))


def slots_of(run: Run) -> list[int]:
    slots = [slot for first, length in run.extents for slot in range(first, first + length)]
    assert len(slots) == run.length and slots == run.slots().tolist()
    return slots


@given(runs, st.data())
def test_a_part_is_of_its_tokens_slots(run: Run, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, run.length))
    stop = data.draw(st.integers(start, run.length))
    assert slots_of(run.part(start, stop)) == slots_of(run)[start:stop]


@given(st.lists(runs, min_size=2, max_size=4))
def test_runs_behind_each_other_are_of_all_their_slots(some: list[Run]) -> None:
    expected = [slot for run in some for slot in slots_of(run)]
    behind = EMPTY_RUN
    for run in some:
        behind = behind.followed_by(run)
    assert slots_of(joined(some)) == slots_of(behind) == expected


def test_joined_runs_merge_neighbours() -> None:
    assert joined([Run(((0, 4),), 4), Run(((4, 2),), 2), Run(((9, 1),), 1)]) == Run(((0, 6), (9, 1)), 7)


@given(extents)
def test_stretches_are_numbered_one_behind_the_other(some: list[tuple[int, int]]) -> None:
    firsts, lengths = numpy.array(some, dtype=numpy.int64).reshape(-1, 2).T
    expected = [number for first, length in some for number in range(first, first + length)]
    assert stretched(firsts, lengths).tolist() == expected
