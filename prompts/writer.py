"""Blocks from cut nodes: the path, then the canonical JSON or what a template makes of it, split where it is too long.

What is split, and how:

- a member that has an identity (an object with the rule's `key`) becomes a block of its own, whatever its size: neither
  a changed value nor an insertion nor a move ever shifts a border;
- other members of an object or array, the lines of a string, and the lines that a template wrote are packed into runs
  (`prompts.split`): here a value can shift a border, but only one beside it;
- a template for an array is given shorter arrays; what a template made of anything else is split by lines.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from hashlib import blake2b

from prompts.block import Block, Lifetime, Role
from prompts.json_text import canonical, label_text, path_text
from prompts.rendering import render
from prompts.rules import SegmentRule
from prompts.segment import Cutter, Node, identity
from prompts.split import pack, split_text

# A text with more characters than this for each token it may have (JSON has 2 to 4) is too long without being counted.
# Otherwise the decision to split a large part of the state would tokenise all of it each time a word in it changes.
_MOST_CHARACTERS_PER_TOKEN = 16


class BlockWriter:
    """Writes the blocks of cut nodes. Tokens are counted and templates filled in only for what changed."""

    def __init__(self, cutter: Cutter, count_tokens: Callable[[str], int], warn: Callable[[str, str], None]) -> None:
        self.cutter = cutter
        self.count_tokens = count_tokens
        self.warn = warn

    def write(
        self, node: Node, rule: SegmentRule, name: str | None = None, in_array: bool = False
    ) -> tuple[Block, ...]:
        """The blocks of a node, written once, under the rule's name for it or another.

        `in_array`: a template is given an array that holds only this node.
        """
        if node.blocks is None:
            before, node.before = node.before, None
            node.blocks = tuple(_Writing(self, node, before, rule, name or rule.name(node.labels)).blocks(in_array))
        return node.blocks


class _Writing:
    """One node as it is written, with what is known from the last time about the same place."""

    def __init__(self, writer: BlockWriter, node: Node, before: Node | None, rule: SegmentRule, name: str) -> None:
        self._writer = writer
        self._node = node
        self._rule = rule
        self._name = name
        self._path = path_text(node.labels)
        self._known_counts = before.counts if before is not None else {}
        self._known_blocks = {b.name: b for b in before.blocks or ()} if before is not None else {}

    def blocks(self, in_array: bool) -> Iterator[Block]:
        node, template = self._node, self._rule.template
        assert node.text is not None
        body = self._body(f"[{node.text}]" if in_array else node.text, self._path)
        whole = _headed(self._path, body)
        if self._fits(whole):
            yield self._block(self._name, whole)
        elif template is not None and (in_array or not isinstance(node.value, list)):
            yield from self._by_lines(body, str.rstrip)
        elif isinstance(node.value, str):
            yield from self._by_lines(node.value, canonical)
        elif isinstance(node.value, (dict, list)) and node.value:
            yield from self._by_members()
        else:
            yield self._oversize(self._name, whole)

    def _by_lines(self, text: str, body: Callable[[str], str]) -> Iterator[Block]:
        used: Counter[str] = Counter()
        for piece in split_text(text, lambda piece: self._fits(_headed(self._path, body(piece)))):
            # Named by how it begins and not by its number, so that a piece inserted before it leaves it alone.
            start = blake2b(piece.partition("\n")[0].encode(errors="replace"), digest_size=3).hexdigest()
            used[start] += 1
            again = f".{used[start]}" if used[start] > 1 else ""
            yield self._checked(f"{self._name}#{start}{again}", _headed(self._path, body(piece)))

    def _by_members(self) -> Iterator[Block]:
        node, rule, writer = self._node, self._rule, self._writer
        writer.cutter.open(node)
        own: list[tuple[str, Node]] = []
        others: list[tuple[str, Node, str]] = []
        for label, child, text in node.kept():
            if rule.key is not None and identity(child.value, rule.key) is not None:
                own.append((label, child))
            else:
                others.append((label, child, text))
        for first, end in pack([label for label, _, _ in others], lambda a, b: self._fits(self._run(others[a:b]))):
            text = self._run(others[first:end])
            label, child, _ = others[first]
            is_divisible = rule.template is None and isinstance(child.value, (dict, list, str))
            if end - first == 1 and is_divisible and not self._fits(text):
                yield from writer.write(child, rule, f"{self._name}/{label_text(label)}")
            else:
                yield self._checked(f"{self._name}#{label_text(label)}", text)
        for label, child in own:
            yield from writer.write(
                child, rule, f"{self._name}/{label_text(label)}", in_array=rule.template is not None
            )

    def _run(self, members: list[tuple[str, Node, str]]) -> str:
        """The text of some members; of an array it says which, as nothing else would."""
        path, first, last = self._path, members[0][0], members[-1][0]
        if isinstance(self._node.value, list):
            path += f"[{label_text(first)}]" if first == last else f"[{label_text(first)}..{label_text(last)}]"
        return _headed(path, self._body(self._node.joined([(label, text) for label, _, text in members]), path))

    def _body(self, json_text: str, path: str) -> str:
        if self._rule.template is None:
            return json_text
        # Parsed again: the template gets a copy of its own, with members in sorted order and without what was cut out.
        key = self._rule.key_label(self._node.labels)
        return render(self._rule.template, path, value=json.loads(json_text), key=key, path=path)

    def _fits(self, text: str) -> bool:
        limit = self._rule.max_tokens
        if limit is None:
            return True
        if len(text) > limit * _MOST_CHARACTERS_PER_TOKEN:
            return False
        counts = self._node.counts
        if text not in counts:
            known = self._known_counts.get(text)
            counts[text] = self._writer.count_tokens(text) if known is None else known
        return counts[text] <= limit

    def _checked(self, name: str, text: str) -> Block:
        return self._block(name, text) if self._fits(text) else self._oversize(name, text)

    def _oversize(self, name: str, text: str) -> Block:
        self._writer.warn(
            f"oversize {self._rule.match}",
            f"The block {name!r} is longer than the max_tokens = {self._rule.max_tokens} of rule {self._rule.match!r} "
            "and cannot be divided further. Raise max_tokens, or shorten the value.",
        )
        return self._block(name, text)

    def _block(self, name: str, text: str) -> Block:
        known = self._known_blocks.get(name)
        return known if known is not None and known.text == text else Block(name, text, Role.STATE, Lifetime.MATCH)


def _headed(path: str, body: str) -> str:
    return f"{path}\n{body}\n"
