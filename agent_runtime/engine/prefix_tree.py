"""Ordinary prefix reuse, done well: the longest common token prefix, kept across turns and shared across sessions.

A radix tree over token ids whose edges own runs of the pool at their true positions. It is the rival that block modes
have to beat, so it keeps whole prompts, observations included, and evicts the least recently used leaves first.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy

from agent_runtime.engine.pool import Pool
from agent_runtime.engine.runs import EMPTY_RUN, Run, joined


@dataclass(eq=False, slots=True)
class _Node:
    ids: numpy.ndarray
    run: Run
    parent: "_Node | None"
    children: dict[int, "_Node"] = field(default_factory=dict)
    last_used: int = 0


class PrefixTree:
    """Token prefixes resident in the pool. Engine thread only. It holds one reference of every slot on its edges."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._root = _Node(numpy.empty(0, dtype=numpy.int64), EMPTY_RUN, None)

    def match(self, ids: Sequence[int], now: int) -> Run:
        """Return the run of the longest resident prefix of `ids`, with one reference for the caller."""
        return self._pool.share(joined([run for _, run in self._walk(numpy.asarray(ids, dtype=numpy.int64), now)]))

    def _walk(self, ids: numpy.ndarray, now: int) -> Iterator[tuple[_Node, Run]]:
        node, position = self._root, 0
        node.last_used = now
        while position < len(ids) and (child := node.children.get(int(ids[position]))) is not None:
            shared = _common_length(child.ids, ids[position:])
            child.last_used = now
            yield child, child.run if shared == len(child.ids) else child.run.part(0, shared)
            if shared < len(child.ids):
                return
            node, position = child, position + shared

    def insert(self, ids: Sequence[int], run: Run, now: int) -> None:
        """Keep `ids`, whose keys and values lie in `run`; what is resident already stays where it is."""
        tokens = numpy.asarray(ids, dtype=numpy.int64)
        node, position = self._root, 0
        # The whole walk comes first: splitting changes the nodes that it goes through.
        for child, found in list(self._walk(tokens, now)):
            position += found.length
            node = child if found.length == len(child.ids) else self._split(child, found.length)
        if position < len(tokens):
            rest = self._pool.share(run.part(position, len(tokens)))
            node.children[int(tokens[position])] = _Node(tokens[position:], rest, node, last_used=now)

    def _split(self, node: _Node, at: int) -> _Node:
        assert node.parent is not None
        upper = _Node(node.ids[:at], node.run.part(0, at), node.parent, last_used=node.last_used)
        node.parent.children[int(node.ids[0])] = upper
        node.ids, node.run, node.parent = node.ids[at:], node.run.part(at, node.run.length), upper
        upper.children[int(node.ids[0])] = node
        return upper

    def oldest(self) -> int | None:
        """Return when the least recently used leaf was used, or None when the tree is empty."""
        leaf = self._oldest_leaf()
        return leaf.last_used if leaf else None

    def evict_oldest(self) -> int:
        """Drop the least recently used leaf; return its number of tokens (0: the tree is empty)."""
        leaf = self._oldest_leaf()
        if leaf is None or leaf.parent is None:
            return 0
        del leaf.parent.children[int(leaf.ids[0])]
        self._pool.release(leaf.run)
        return len(leaf.ids)

    def _oldest_leaf(self) -> _Node | None:
        leaves = [node for node in self._nodes() if not node.children]
        return min(leaves, key=lambda node: node.last_used, default=None)

    def _nodes(self) -> Iterator[_Node]:
        waiting = list(self._root.children.values())
        while waiting:
            node = waiting.pop()
            waiting.extend(node.children.values())
            yield node

    def held(self) -> list[Run]:
        """Return the runs that the tree holds a reference of, for the pool's books."""
        return [node.run for node in self._nodes()]


def _common_length(left: numpy.ndarray, right: numpy.ndarray) -> int:
    length = min(len(left), len(right))
    different = numpy.flatnonzero(left[:length] != right[:length])
    return int(different[0]) if different.size else length
