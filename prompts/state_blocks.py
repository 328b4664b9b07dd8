"""The state of a match as the blocks that one sight shows of it, kept up to date frame by frame."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from prompts.block import Block
from prompts.game import Game
from prompts.json_text import Json
from prompts.segment import Cutter, Node
from prompts.sight import HIDDEN, Sight
from prompts.writer import BlockWriter

# A state whose members keep changing their names would otherwise add warnings without end.
_MOST_WARNINGS = 100


@dataclass(frozen=True, slots=True)
class BlockChange:
    """What one frame did to the blocks: their names, and `fresh`, the added and replaced blocks themselves."""

    added: tuple[str, ...]
    replaced: tuple[str, ...]
    removed: tuple[str, ...]
    fresh: tuple[Block, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cut:
    """A part of a state that a rule took: `rule` is its index in `Game.cutting`, `labels` are the steps to it.

    `text` is the canonical JSON of what is left of it after earlier rules; the blocks are none for a live rule.
    """

    rule: int
    labels: tuple[str, ...]
    text: str
    blocks: tuple[Block, ...]


class StateBlocks:
    """The blocks and the live part of one match's state under one sight. Not for several threads at once.

    A frame that raises (PatternError when made; StateError, TemplateFailed later) leaves everything as it was. The
    states given are read later on and must not be changed; `apply_patch` never does.
    """

    def __init__(self, game: Game, count_tokens: Callable[[str], int], sight: Sequence[str] = ()) -> None:
        self._rules = game.cutting
        self._sight = Sight(sight)
        self._cutter = Cutter(game.cutting, self._warn)
        self._writer = BlockWriter(self._cutter, count_tokens, self._warn)
        self._root: Node | None = None
        self._by_name: dict[str, Block] = {}
        # Where each block stands, unless two had one name: then a name says nothing of the place.
        self._places: dict[str, int] | None = None
        self._warnings: dict[str, str] = {}
        self._live: dict[str, Json] | None = None
        self.blocks: tuple[Block, ...] = ()

    def replace(self, state: Json) -> BlockChange:
        """Take a whole new state. Blocks that say the same as before stay the same objects."""
        return self._take(state, same_objects=False)

    def patch(self, ops: Sequence[Json], new_state: Json) -> BlockChange:
        """Take `new_state = apply_patch(state, ops)`, at the cost of what the patch touched.

        The operations themselves are not read: what they did not touch is the same object as before, and that tells
        more than paths do, as a move within an array changes every path behind it and no block.
        """
        return self._take(new_state, same_objects=True)

    @property
    def live(self) -> dict[str, Json]:
        """What the live rules took out, nested as in the state; array members go by their position, as a string."""
        if self._live is None:
            self._live = _nested(self._root.all_live if self._root is not None else ())
        return self._live

    @property
    def cuts(self) -> Iterator[Cut]:
        """Where the blocks and the live part come from. Two parts with one name are told apart in `blocks` alone."""
        if self._root is not None:
            for node in (*self._root.all_live, *self._root.all_cuts):
                yield Cut(node.owner, node.labels, node.text or "", node.blocks or ())

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the game's author should know about the states so far, each once."""
        return tuple(self._warnings.values())

    def _take(self, state: Json, same_objects: bool) -> BlockChange:
        num_warnings = len(self._warnings)
        seen = self._sight.see(state, same_objects)
        root = None if seen is HIDDEN else self._cutter.cut(seen, self._root, same_objects)
        fresh = self._fresh_in_place() if root is not None and self._root is not None else None
        added: tuple[str, ...] = ()
        removed: tuple[str, ...] = ()
        if fresh is not None:
            blocks = list(self.blocks)
            for place, block in fresh.items():
                blocks[place] = block
                self._by_name[block.name] = block
            self.blocks = tuple(blocks)
        else:
            written = self._written(root)
            self.blocks = tuple(self._uniquely_named(written))
            by_name, old = {block.name: block for block in self.blocks}, self._by_name
            fresh = {place: each for place, each in enumerate(self.blocks) if old.get(each.name) is not each}
            added = tuple([block.name for block in fresh.values() if block.name not in old])
            removed = tuple([name for name in old if name not in by_name])
            self._by_name = by_name
            is_plain = len({block.name for block in written}) == len(written)
            self._places = {block.name: place for place, block in enumerate(written)} if is_plain else None
        self._root, self._live = root, None
        self._cutter.swaps = None  # they keep the last frame alive
        new = frozenset(added)
        return BlockChange(
            added=added,
            replaced=tuple([block.name for block in fresh.values() if block.name not in new]),
            removed=removed,
            fresh=tuple(fresh.values()),
            warnings=tuple(self._warnings.values())[num_warnings:],
        )

    def _fresh_in_place(self) -> dict[int, Block] | None:
        """The blocks that changed, by their place in the prompt, if each stands where one of its name stood."""
        if self._cutter.swaps is None or self._places is None:
            return None
        fresh = {}
        for old, new in self._cutter.swaps:
            before, after = old.blocks or (), self._writer.write(new, self._rules.segment(new.owner))
            if len(before) != len(after):
                return None
            for was, now in zip(before, after, strict=True):
                if was.name != now.name:
                    return None
                if was is not now:
                    fresh[self._places[now.name]] = now
        return dict(sorted(fresh.items()))

    def _written(self, root: Node | None) -> list[Block]:
        """All blocks in the order of the prompt: by rule, then as the state has them."""
        if root is None:
            return []
        ranks = self._rules.ranks
        blocks: list[Block] = []
        for node in sorted(root.all_cuts, key=lambda node: ranks[node.owner]):
            if node.blocks is None:
                self._writer.write(node, self._rules.segment(node.owner))
            blocks += node.blocks or ()
        return blocks

    def _uniquely_named(self, blocks: list[Block]) -> Iterator[Block]:
        """Where several blocks came out under one name, all of them get their path behind it."""
        count = Counter([block.name for block in blocks])
        if len(count) == len(blocks):
            yield from blocks
            return
        used: Counter[str] = Counter()
        for block in blocks:
            if count[block.name] == 1:
                yield block
                continue
            self._warn(
                f"name {block.name}",
                f"{count[block.name]} parts of the state are named {block.name!r}, so each is called by its path too. "
                "Tell them apart by {1}, {2} in the `name` of the rule.",
            )
            name = f"{block.name} at {block.text.partition(chr(10))[0]}"
            used[name] += 1
            name += f" ({used[name]})" if used[name] > 1 else ""
            known = self._by_name.get(name)
            yield known if known is not None and known.text == block.text else replace(block, name=name)

    def _warn(self, about: str, sentence: str) -> None:
        if len(self._warnings) < _MOST_WARNINGS:
            self._warnings.setdefault(about, sentence)


def _nested(live: Sequence[Node]) -> dict[str, Json]:
    """The live parts, each a copy of its own with sorted members, under the names that lead to them."""
    nested: dict[str, Json] = {}
    for node in live:
        value = json.loads(node.text or "null")
        if not node.labels:  # the whole state is live
            return value if isinstance(value, dict) else {"": value}
        inner = nested
        for label in node.labels[:-1]:
            inner = inner.setdefault(label, {})
        inner[node.labels[-1]] = value
    return nested
