"""Prompts in tokens: equal to those of a tokenizer that has seen nothing before, whatever came before."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_runtime.engine.text import TextEncoder
from agent_runtime.token_blocks import BlockTokenizer, KeyMaker, TokenBlock
from agent_runtime.turn import Mode
from prompts.block import Block, Lifetime, Prompt, Role
from tests.tiny_models import tiny_tokenizer

LIFETIMES = (Lifetime.MATCH, Lifetime.SESSION)


@pytest.fixture(scope="module")
def text() -> Iterator[TextEncoder]:
    yield TextEncoder(tiny_tokenizer())


def some_blocks(count: int) -> list[Block]:
    return [
        Block(f"unit/{number}", f"/units/{number}\nhp {number}\n", Role.STATE, LIFETIMES[number % 7 == 0])
        for number in range(count)
    ]


def in_full(blocks: tuple[TokenBlock, ...]) -> list[tuple[tuple[int, ...], str]]:
    return [(block.ids, block.key) for block in blocks]


RULES = [Block("rules", f"Rules of {name}.\n", Role.ANCHOR, Lifetime.GAME) for name in ("one", "other")]
BLOCKS = some_blocks(12)
PROMPTS = st.tuples(st.sampled_from(RULES), st.lists(st.sampled_from(BLOCKS), max_size=8))


@settings(max_examples=100)
@given(st.sampled_from([Mode.STAR, Mode.ANCHORED]), st.lists(st.tuples(PROMPTS, st.sampled_from("ab")), max_size=6))
def test_blocks_that_stay_come_and_go_are_what_they_are_alone(
    text: TextEncoder, mode: Mode, asked: list[tuple[tuple[Block, list[Block]], str]]
) -> None:
    tokenizer = BlockTokenizer(text, KeyMaker("m"), most_blocks=5)
    for (rules, blocks), session in asked:
        prompt = Prompt(rules, tuple(blocks), "What now?\n")
        found = tokenizer.prompt(prompt, mode, "duel", session, "")
        alone = BlockTokenizer(text, KeyMaker("m")).prompt(prompt, mode, "duel", session, "")
        assert in_full(found.blocks) == in_full(alone.blocks)
        assert found.num_static == alone.num_static == sum(len(block.ids) for block in found.blocks)
        assert found.observation == alone.observation


def test_what_stands_where_it_stood_gets_the_same_tokens_and_no_new_key(text: TextEncoder) -> None:
    keys = KeyMaker("m")
    tokenizer = BlockTokenizer(text, keys)
    blocks = [RULES[0], *some_blocks(20)]
    before = tokenizer.blocks(blocks, Mode.STAR, "duel", "s", "")
    num_calls = keys.num_calls
    blocks[7] = Block("unit/7", "/units/7\nhp 99\n", Role.STATE, Lifetime.MATCH)
    after = tokenizer.blocks(blocks, Mode.STAR, "duel", "s", "")
    assert keys.num_calls == num_calls + 1
    assert [place for place, (old, new) in enumerate(zip(before, after, strict=True)) if old is not new] == [7]


def test_blocks_that_keep_changing_are_not_kept_for_ever(text: TextEncoder) -> None:
    tokenizer = BlockTokenizer(text, KeyMaker("m"))
    for number in range(1000):
        changed = Block("unit/0", f"/units/0\nhp {number}\n", Role.STATE, Lifetime.MATCH)
        tokenizer.blocks([RULES[0], changed, *BLOCKS], Mode.STAR, "duel", "s", "")
    (table,) = tokenizer._tables.values()
    assert len(table.by_id) < 400
