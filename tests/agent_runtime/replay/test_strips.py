"""Block strips: what of a prompt was there, piece by piece, and as many of them as fit."""

import tracemalloc

import pytest

from agent_runtime.replay.strips import Piece, Strip, Strips, strip_of, strip_of_account
from agent_runtime.token_blocks import TokenBlock, TokenPrompt
from agent_runtime.turn import Account, BlockUse, Mode


def prompt(**blocks: int) -> TokenPrompt:
    made = tuple(TokenBlock(name, (7,) * length, name) for name, length in blocks.items())
    return TokenPrompt(made, (1,) * 9, sum(blocks.values()))


def account(mode: Mode, *changed: BlockUse, **figures: int) -> Account:
    return Account(mode, "tiny", False, changed=changed, **figures)  # type: ignore[arg-type]


def test_in_block_modes_each_block_says_how_it_came() -> None:
    used = account(
        Mode.STAR,
        BlockUse("unit", "encoded", 5, "new"),
        BlockUse("map", "loaded", 30, "in the store"),
        observation=9,
        scored=4,
    )
    assert strip_of(prompt(rules=20, map=30, unit=5), used) == (
        Piece("rules", "hit", 20),
        Piece("map", "loaded", 30),
        Piece("unit", "encoded", 5),
        Piece("observation", "observation", 9),
        Piece("answers", "answers", 4),
    )


@pytest.mark.parametrize(
    ("cached", "kinds"),
    [
        (0, "rules encoded 20, map encoded 30, observation observation 9"),
        (20, "rules hit 20, map encoded 30, observation observation 9"),
        (24, "rules hit 20, map hit 4, map encoded 26, observation observation 9"),
        (50, "rules hit 20, map hit 30, observation observation 9"),
        (53, "rules hit 20, map hit 30, observation hit 3, observation observation 6"),
    ],
)
def test_in_prefix_a_beginning_is_there_which_may_end_within_a_block(cached: int, kinds: str) -> None:
    used = account(Mode.PREFIX, tokens_cached=cached, encoded=max(0, 50 - cached), observation=9 - max(0, cached - 50))
    strip = strip_of(prompt(rules=20, map=30), used)
    assert ", ".join(f"{piece.name} {piece.kind} {piece.tokens}" for piece in strip) == kinds


def test_of_an_account_alone_what_was_there_is_one_piece() -> None:
    used = account(
        Mode.STAR,
        BlockUse("map", "loaded", 30, "in the store"),
        blocks_hit=7,
        tokens_cached=130,
        observation=9,
    )
    assert strip_of_account(used)[:2] == (Piece("7 blocks", "hit", 100), Piece("map", "loaded", 30))
    chain = account(Mode.PREFIX, tokens_cached=40, encoded=60, observation=9)
    assert strip_of_account(chain)[:2] == (Piece("the beginning", "hit", 40), Piece("behind the change", "encoded", 60))


def strip(number: int, pieces: int = 10) -> Strip:
    return tuple(Piece(f"block {number} {each}", "hit", number + each + 1) for each in range(pieces))


def test_strips_come_back_as_they_were() -> None:
    kept = Strips()
    for number in range(3):
        kept.keep("star", number, strip(number))
        kept.keep("full", number, strip(number)[:1])
    assert kept.every == 1
    assert [(each.label, each.number) for each in kept] == [(label, n) for label in ("star", "full") for n in range(3)]
    assert all(each.strip == strip(each.number)[: len(each.strip)] for each in kept)


def test_a_full_room_lets_every_second_turn_go_and_stays_full_of_whole_turns() -> None:
    kept = Strips(most_pieces=350)
    for number in range(200):
        kept.keep("star", number, strip(number))
        assert len(list(kept)) <= 10
    assert kept.every == 32
    assert [each.number for each in kept] == list(range(0, 200, 32))
    assert all(each.strip == strip(each.number) for each in kept)
    assert len(kept._names) == 10 * len(list(kept)), "names of what went are forgotten"


def test_one_turn_that_fills_the_room_is_kept_all_the_same() -> None:
    kept = Strips(most_pieces=5)
    kept.keep("star", 0, strip(0))
    kept.keep("full", 0, strip(0))
    kept.keep("star", 1, strip(1))
    assert [(each.label, each.number) for each in kept] == [("star", 0), ("full", 0)]


def test_ten_times_the_turns_take_no_more_memory() -> None:
    def peak(num_turns: int) -> int:
        tracemalloc.start()
        try:
            kept = Strips(most_pieces=10_000)
            for number in range(num_turns):
                kept.keep("star", number, strip(number))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(4000) < 1.2 * peak(400)
