"""Prompt blocks in tokens, each with the key of its keys and values. Unchanged text is never tokenised again."""

import hashlib
import struct
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import compress, count
from operator import attrgetter, is_not

from agent_runtime.engine.text import TextEncoder
from agent_runtime.turn import Mode
from prompts.block import Block, Lifetime, Prompt

# Part of every key: raise it when the meaning of the stored tensors changes.
KEY_FORMAT = "hotseat-block-1"
_MAX_REMEMBERED = 65536
# A session's table is emptied when it holds this many more blocks than two of its prompts.
_SPARE_ENTRIES = 256
_MAX_TABLES = 1024


@dataclass(frozen=True, slots=True, eq=False)
class TokenBlock:
    """A block as the engine sees it: its ids, and the key under which its keys and values are kept."""

    name: str
    ids: tuple[int, ...]
    key: str


# Mapped over hundreds of blocks several times a turn, in half the time of a comprehension.
key_of: Callable[[TokenBlock], str] = attrgetter("key")
name_of: Callable[[TokenBlock], str] = attrgetter("name")


@dataclass(frozen=True, slots=True)
class TokenPrompt:
    """A prompt in tokens: the blocks in order, the anchor first, and the observation.

    What is computed of it is found only by prompts of equal `salt`; the blocks' keys hold it already.
    """

    blocks: tuple[TokenBlock, ...]
    observation: tuple[int, ...]
    num_static: int
    salt: str = ""

    @property
    def num_tokens(self) -> int:
        """Return the length of the prompt in tokens."""
        return self.num_static + len(self.observation)


@dataclass(slots=True)
class _Table:
    """A session's blocks in tokens: those of its last prompt by their place, and those of late by identity.

    Each block lies here with its tokens, so that no other object gets its id.
    """

    blocks: tuple[Block, ...] = ()
    made: tuple[TokenBlock, ...] = ()
    num_tokens: int = 0
    by_id: dict[int, tuple[Block, TokenBlock]] = field(default_factory=dict)


class KeyMaker:
    """Makes block keys: blake2b-256 over everything that a block's keys and values depend on.

    `parts` are what all keys of one engine share: the digests of weights, adapter and tokenizer, the rotary parameters
    and the dtype.
    """

    def __init__(self, *parts: str) -> None:
        self._base = hashlib.blake2b(digest_size=32)
        for part in (KEY_FORMAT, *parts):
            self._base.update(_framed(part.encode()))
        self.num_calls = 0

    def key(self, namespace: str, attends: Sequence[str], ids: Sequence[int]) -> str:
        """Return the key (hex) of the block `ids` that attends to the blocks `attends`, shared within `namespace`."""
        self.num_calls += 1
        digest = self._base.copy()
        digest.update(_framed(namespace.encode()))
        digest.update(_framed("".join(attends).encode()))
        digest.update(struct.pack(f"<{len(ids)}I", *ids))
        return digest.hexdigest()


def _namespace(owner: str, salt: str) -> str:
    """Who shares a block. Without a salt as it was before there were any: blocks on disk keep their keys."""
    return f"salt:{len(salt)}:{salt}:{owner}" if salt else owner


def _framed(data: bytes) -> bytes:
    return len(data).to_bytes(8, "little") + data


class BlockTokenizer:
    """Turns prompts into token prompts; any thread. A block costs once, wherever it stands.

    Blocks that a caller hands in again (the same objects, as `StateBlocks` does) are found by identity, in a table for
    each session, and are not even looked at where they stood before; others are found by their text, of which the
    `most_blocks` used last are remembered.
    """

    def __init__(self, text: TextEncoder, keys: KeyMaker, *, most_blocks: int = _MAX_REMEMBERED) -> None:
        self.text = text
        self._most_blocks = most_blocks
        self.keys = keys
        self._by_text: OrderedDict[tuple[str, bool, str, str], TokenBlock] = OrderedDict()
        self._tables: OrderedDict[tuple[str, str, str], _Table] = OrderedDict()
        self._lock = threading.Lock()

    def prompt(self, prompt: Prompt, mode: Mode, game: str, session: str, salt: str) -> TokenPrompt:
        """Return a whole prompt in tokens."""
        blocks, num_static = self._made((prompt.anchor, *prompt.blocks), mode, game, session, salt)
        observation = tuple(self.text.observation_ids(prompt.observation))
        return TokenPrompt(blocks, observation, num_static, salt)

    def blocks(self, blocks: Sequence[Block], mode: Mode, game: str, session: str, salt: str) -> tuple[TokenBlock, ...]:
        """Return `blocks`, the anchor first. A session's own blocks are shared with nobody, others in their game.

        Either only among matches of equal `salt`.
        """
        return self._made(blocks, mode, game, session, salt)[0]

    def _made(
        self, blocks: Sequence[Block], mode: Mode, game: str, session: str, salt: str
    ) -> tuple[tuple[TokenBlock, ...], int]:
        """Return `blocks` in tokens, and how many those are."""
        shared, private = _namespace(f"game:{game}", salt), _namespace(f"session:{session}", salt)
        with self._lock:
            anchor = self._block(blocks[0], True, shared, "")
            attends = anchor.key if mode is Mode.ANCHORED else ""
            table = self._table((shared, private, attends), 2 * len(blocks))

            def known(block: Block) -> TokenBlock:
                found = table.by_id.get(id(block))
                if found is None:
                    namespace = private if block.lifetime is Lifetime.SESSION else shared
                    found = table.by_id[id(block)] = (block, self._block(block, False, namespace, attends))
                return found[1]

            if len(table.blocks) == len(blocks):
                made, num_tokens = list(table.made), table.num_tokens
                changed = [place for place in compress(count(), map(is_not, blocks, table.blocks)) if place]
            else:
                made, num_tokens = [anchor] * len(blocks), len(blocks) * len(anchor.ids)
                changed = list(range(1, len(blocks)))
            for place, block in [(0, anchor), *[(place, known(blocks[place])) for place in changed]]:
                num_tokens += len(block.ids) - len(made[place].ids)
                made[place] = block
            table.blocks, table.made, table.num_tokens = tuple(blocks), tuple(made), num_tokens
            return table.made, num_tokens

    def _table(self, name: tuple[str, str, str], num_expected: int) -> _Table:
        table = self._tables.pop(name, None) or _Table()
        if len(table.by_id) > num_expected + _SPARE_ENTRIES:
            table.by_id = {}
        self._tables[name] = table
        if len(self._tables) > _MAX_TABLES:
            self._tables.popitem(last=False)
        return table

    def _block(self, block: Block, is_anchor: bool, namespace: str, attends: str) -> TokenBlock:
        entry = (block.text, is_anchor, namespace, attends)
        known = self._by_text.get(entry)
        if known is not None:
            self._by_text.move_to_end(entry)
            return known
        ids = tuple(self.text.anchor_ids(block.text) if is_anchor else self.text.block_ids(block.text))
        made = TokenBlock(block.name, ids, self.keys.key(namespace, [attends] if attends else [], ids))
        self._by_text[entry] = made
        if len(self._by_text) > self._most_blocks:
            self._by_text.popitem(last=False)
        return made
