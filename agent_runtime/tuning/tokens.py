"""Samples in tokens, as the runtime would have them."""

from collections.abc import Callable, Sequence
from itertools import chain

from agent_runtime.engine.text import TextEncoder
from agent_runtime.tuning.rows import TokenAsk, TokenSample
from agent_runtime.tuning.samples import Ask, Sample


def target_alone(ask: Ask) -> Sequence[str]:
    """Return what is learned of an ask."""
    return (ask.target,)


def in_tokens(sample: Sample, text: TextEncoder, answers: Callable[[Ask], Sequence[str]] = target_alone) -> TokenSample:
    """Return a sample's tokens, block by block, and its asks with their `answers`, which end with their turn."""
    learned = [answers(ask) for ask in sample.asks]
    text.remember(
        chain(
            (sample.anchor,),
            (block for _, block in sample.blocks),
            (ask.observation for ask in sample.asks),
            chain.from_iterable(learned),
        )
    )
    blocks = (text.anchor_ids(sample.anchor), *[text.block_ids(block) for _, block in sample.blocks])
    asks = tuple(
        TokenAsk(text.observation_ids(ask.observation), tuple(map(text.answer_ids, its_answers)))
        for ask, its_answers in zip(sample.asks, learned, strict=True)
    )
    return TokenSample(blocks, asks)
