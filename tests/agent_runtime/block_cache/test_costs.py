"""Load or encode: a pure function of measured rates, against every other choice there is."""

import itertools
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_runtime.block_cache.costs import Missing, Rates, break_even_read_tokens_s, to_encode

# An 8B model on a fast GPU: 128 KiB a token, 55 GB/s over the link, 2 GB/s from packs.
FAST = Rates(0.006, 37_000, 20e-6, 420_000, 1e-3, 15_000)
# A small model on two cores: 22.5 KiB a token.
SLOW = Rates(0.03, 300, 10e-6, 200_000, 1e-3, 40_000)


def seconds(missing: Sequence[Missing], rates: Rates, num_rows: int, encoded: frozenset[str]) -> float:
    rows = num_rows + sum(b.num_tokens for b in missing if b.lies is None or b.key in encoded)
    tokens = {
        lies: sum(b.num_tokens for b in missing if b.lies == lies and b.key not in encoded) for lies in ("host", "pack")
    }
    return rates.forward(rows) + rates.load(host_tokens=tokens["host"], pack_tokens=tokens["pack"])


rates = st.builds(
    Rates,
    forward_s=st.floats(0, 0.05),
    encode_tokens_s=st.floats(10, 1e5),
    copy_s=st.floats(0, 1e-2),
    copy_tokens_s=st.floats(100, 1e6),
    read_s=st.floats(0, 1e-2),
    read_tokens_s=st.none() | st.floats(100, 1e6),
)
places = st.sampled_from(["host", "pack", None])


def blocks(of: Sequence[tuple[str | None, int]]) -> list[Missing]:
    return [Missing(str(number), tokens, lies) for number, (lies, tokens) in enumerate(of)]  # type: ignore[arg-type]


@settings(max_examples=200, deadline=None)
@given(st.lists(places, max_size=7), st.integers(1, 300), rates, st.integers(0, 400))
def test_of_blocks_of_one_size_no_other_choice_is_quicker(
    lies: list[str | None], tokens: int, rates: Rates, num_rows: int
) -> None:
    missing = blocks([(each, tokens) for each in lies])
    chosen = to_encode(missing, rates, num_rows)
    movable = [b.key for b in missing if b.lies is not None]
    assert chosen <= set(movable)
    best = min(
        seconds(missing, rates, num_rows, frozenset(some))
        for count in range(len(movable) + 1)
        for some in itertools.combinations(movable, count)
    )
    assert seconds(missing, rates, num_rows, chosen) <= best * (1 + 1e-9) + 1e-12


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(places, st.integers(1, 500)), max_size=30), rates, st.integers(0, 400))
def test_of_any_blocks_no_choice_is_slower_than_all_or_nothing(
    of: list[tuple[str | None, int]], rates: Rates, num_rows: int
) -> None:
    missing = blocks(of)
    chosen = seconds(missing, rates, num_rows, to_encode(missing, rates, num_rows))
    for other in (frozenset[str](), frozenset(b.key for b in missing if b.lies)):
        assert chosen <= seconds(missing, rates, num_rows, other) * (1 + 1e-9) + 1e-12


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(places, st.integers(1, 500)), max_size=12), rates, st.floats(1.0, 10.0))
def test_a_quicker_disk_never_has_more_encoded_that_lies_there(
    of: list[tuple[str | None, int]], rates: Rates, times: float
) -> None:
    missing = [Missing(b.key, 50, b.lies) for b in blocks(of)]
    slow = replace(rates, read_tokens_s=rates.read_tokens_s or 1000.0)
    fast = replace(slow, read_tokens_s=(slow.read_tokens_s or 0) * times)
    packs = {b.key for b in missing if b.lies == "pack"}
    assert len(to_encode(missing, fast) & packs) <= len(to_encode(missing, slow) & packs)


def test_what_rides_for_nothing_in_a_forward_is_encoded_and_the_rest_is_loaded() -> None:
    """222 rows cost what one costs: 50 of the observation and two blocks of 85 leave no room for a third."""
    missing = blocks([("pack", 85)] * 300)
    assert len(to_encode(missing[:2], FAST, 50)) == 2
    quick = replace(FAST, read_tokens_s=100_000)
    assert len(to_encode(missing, quick, 50)) == 2
    assert len(to_encode(missing, FAST, 50)) == 300  # the disk reads 15,000 tokens a second, the device encodes 37,000
    assert to_encode(blocks([("host", 85)] * 300), replace(FAST, forward_s=1e-6), 50) == frozenset()


def test_the_hosts_memory_is_left_to_loading_before_packs_are() -> None:
    missing = blocks([("host", 85), ("pack", 85), ("host", 85), ("pack", 85)])
    assert to_encode(missing, replace(FAST, read_tokens_s=100_000), 50) == {"1", "3"}


def test_on_a_cpu_all_is_loaded_and_so_is_what_lies_on_a_disk_that_nobody_has_read() -> None:
    missing = blocks([("pack", 85), ("host", 22), ("pack", 300), (None, 40)])
    assert to_encode(missing, SLOW, 51) == frozenset()
    assert to_encode(missing, replace(SLOW, read_tokens_s=None), 51) == frozenset()
    assert to_encode(missing, replace(SLOW, read_tokens_s=5.0), 51) == {"0", "2"}
    assert to_encode([], SLOW) == frozenset()


def test_nothing_takes_time_that_is_not_asked_for() -> None:
    assert FAST.forward(0) == FAST.load(host_tokens=0, pack_tokens=0) == 0
    assert FAST.forward(1) == FAST.forward_s
    assert FAST.load(host_tokens=1, pack_tokens=0) < FAST.load(host_tokens=0, pack_tokens=1)


def test_the_rate_at_which_loading_and_encoding_are_even() -> None:
    even = break_even_read_tokens_s(FAST)
    many = blocks([("pack", 85)] * 1000)
    exact = replace(FAST, forward_s=0.0, read_s=0.0, copy_s=0.0)
    assert to_encode(many, replace(exact, read_tokens_s=1.01 * even)) == frozenset()
    assert len(to_encode(many, replace(exact, read_tokens_s=0.99 * even))) == 1000
    assert break_even_read_tokens_s(replace(FAST, copy_tokens_s=30_000)) == pytest.approx(float("inf"))
