"""Turns as samples: kept in little room, paired by what names them, cold or not, compared with full's."""

import random
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runtime.replay.samples import Samples, TurnSample, compared, is_cold, paired
from agent_runtime.turn import Account, Mode, Outcome, Score

MAYBE_MS = st.none() | st.floats(allow_nan=False, width=64)
SAMPLES = st.builds(
    TurnSample,
    session=st.text(),
    turn_id=st.integers(0, 2**53 - 1),
    outcome=st.sampled_from(Outcome),
    ttft_ms=MAYBE_MS,
    tokens_prompt=st.none() | st.integers(0, 2**40),
    same_best=st.none() | st.booleans(),
    cold=st.booleans(),
    late_ms=MAYBE_MS,
    deadline_met=st.none() | st.booleans(),
    best=st.none() | st.text(),
    copy=st.integers(0, 1000),
)


@given(st.lists(SAMPLES, max_size=20))
def test_what_goes_in_comes_out(turns: list[TurnSample]) -> None:
    samples = Samples(turns)
    assert len(samples) == len(turns)
    assert list(samples) == turns
    assert samples[1:3] == turns[1:3]
    if turns:
        assert samples[-1] == turns[-1]


def test_a_turn_keeps_less_than_200_bytes() -> None:
    turns = [
        TurnSample("npc", number, Outcome.OK, number + 0.5, 12_345, 678, 11_667, 1, True, True, 0.5, 0.25)
        for number in range(100)
    ]
    tracemalloc.start()
    try:
        samples = Samples()
        for _ in range(100):
            for turn in turns:
                samples.append(turn)
        assert tracemalloc.get_traced_memory()[0] < 200 * len(samples)
    finally:
        tracemalloc.stop()


def turn(turn_id: int, ttft_ms: float = 1.0, session: str = "s", copy: int = 0) -> TurnSample:
    return TurnSample(session, turn_id, Outcome.OK, ttft_ms, copy=copy)


@given(st.permutations(range(12)), st.integers(0, 12), st.integers(0, 12))
def test_turns_are_paired_by_name_whatever_their_order(order: list[int], mine: int, theirs: int) -> None:
    pairs = list(paired([turn(each) for each in range(mine)], [turn(each) for each in order[:theirs]]))
    assert all(one.turn_id == other.turn_id for one, other in pairs)
    assert {one.turn_id for one, _ in pairs} == {*range(mine)} & {*order[:theirs]}
    assert len(pairs) == len({one.turn_id for one, _ in pairs})


def test_copies_and_sessions_are_turns_of_their_own() -> None:
    mine = [turn(1, 1.0), turn(1, 2.0, copy=1), turn(1, 3.0, "t")]
    theirs = [turn(1, 30.0, "t"), turn(1, 10.0), turn(1, 20.0, copy=1)]
    assert sorted((one.ttft_ms, other.ttft_ms) for one, other in paired(mine, theirs)) == [(1, 10), (2, 20), (3, 30)]


def test_turns_that_were_counted_anew_are_paired_in_their_order() -> None:
    mine, theirs = [turn(1, 1.0), turn(1, 2.0)], [turn(1, 10.0), turn(1, 20.0)]
    assert [(one.ttft_ms, other.ttft_ms) for one, other in paired(mine, theirs)] == [(1, 10), (2, 20)]


@pytest.mark.parametrize(
    ("mode", "is_first", "loaded", "encoded", "cached", "cold"),
    [
        (Mode.STAR, True, 0, 900, 10, True),  # nothing was made ready
        (Mode.STAR, True, 3, 0, 900, True),  # it came from the disk
        (Mode.STAR, True, 0, 20, 890, False),  # a block changed
        (Mode.STAR, False, 0, 900, 10, False),  # everything changed
        (Mode.STAR, False, 3, 0, 900, False),  # the pool was too small
        (Mode.PREFIX, True, 0, 900, 0, True),
        (Mode.PREFIX, True, 0, 300, 600, False),
        (Mode.FULL, True, 0, 900, 0, False),  # as every turn
    ],
)
def test_cold_is_a_first_turn_that_was_not_made_ready_for(
    mode: Mode, is_first: bool, loaded: int, encoded: int, cached: int, cold: bool
) -> None:
    account = Account(mode, "tiny", False, blocks_loaded=loaded, encoded=encoded, tokens_cached=cached)
    assert is_cold(account, is_first) is cold


def scores(*shares: float) -> list[Score]:
    return [Score(f"a{number}", -number - share, share) for number, share in enumerate(shares)]


def test_scores_are_compared_with_those_of_full() -> None:
    sample = compared(turn(1), scores(0.5, 0.3, 0.2), scores(0.1, 0.7, 0.2))
    assert (sample.best, sample.same_best) == ("a0", False)
    assert sample.logprob_off == pytest.approx(0.4)
    assert sample.total_variation == pytest.approx(0.4)


def test_without_full_there_is_a_best_action_and_no_comparison() -> None:
    sample = compared(turn(1), [Score("go", -1.0, 1.0, {"to": "mill", "by": "ox"})], ())
    assert sample.best == 'go {"by": "ox", "to": "mill"}'
    assert sample.same_best is None
    assert compared(turn(1), (), scores(1.0)) == turn(1)


def test_many_turns_in_order_are_paired_without_waiting() -> None:
    order = random.Random(0).sample(range(50), 50)
    names = [turn(each) for each in order]
    assert [one.turn_id for one, _ in paired(names, names)] == order
