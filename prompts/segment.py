"""A JSON state cut along a game's rules, and cut again at the cost of what changed.

The state is walked from its root only as far as rules reach. Every place walked is kept as a `Node`. After a patch the
next walk takes over the nodes of what is still the same object, since `apply_patch` copies only what it touches; in a
whole new state, whose owner may have changed objects in place, those of what has the same bytes as before.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, compress, count
from operator import is_not

from prompts.block import Block
from prompts.errors import StateError
from prompts.json_text import Json, canonical, fingerprint, lasting_fingerprint, path_text
from prompts.pattern import State
from prompts.rules import CuttingRules

# Up to so many nodes are looked for one by one, instead of all nodes in a table.
_FEW_SWAPS = 4


class Node:
    """One place of a state. Never changed once cut, but for the caches at the end.

    `text` is the canonical JSON of what its owner keeps of the value, None if earlier rules took all of it. `gaps`:
    path and labels left of each array that lost members, which the text alone does not tell. `is_cut`: a rule begins
    here, and the parent's text goes without it. `cuts`: the nodes beneath this one that become blocks, in document
    order (an array's order, an object's sorted); `live` likewise for the observation. `fingerprint`, of a cut that was
    not walked: by it a later, equal value finds its node, whose `value` is then the older one.
    """

    __slots__ = (
        *("value", "state", "limit", "owner", "labels", "is_cut", "is_live", "text", "gaps", "cuts", "live"),
        *("children", "before", "blocks", "counts", "fingerprint"),
    )

    def __init__(self, value: Json, state: State, limit: int, labels: tuple[str, ...], num_live: int) -> None:
        self.value = value
        self.state = state
        self.limit = limit
        self.labels = labels
        self.is_cut = bool(state.matches) and state.matches[0] < limit
        self.owner = state.matches[0] if self.is_cut else limit
        self.is_live = self.owner < num_live
        self.text: str | None = None
        self.gaps: tuple[tuple[str, ...], ...] = ()
        self.cuts: tuple[Node, ...] = ()
        self.live: tuple[Node, ...] = ()
        self.children: dict[str, Node] | None = None
        self.before: Node | None = None
        self.blocks: tuple[Block, ...] | None = None
        self.counts: dict[str, int] = {}
        self.fingerprint: bytes | None = None

    @property
    def is_block(self) -> bool:
        """Whether this node itself becomes a block, or several."""
        return self.is_cut and self.text is not None and not self.is_live

    @property
    def is_kept(self) -> bool:
        """Whether what is left of this node stands in its parent's text."""
        return self.text is not None and not self.is_cut

    @property
    def all_cuts(self) -> tuple["Node", ...]:
        """The nodes at or beneath this one that become blocks."""
        return (self, *self.cuts) if self.is_block else self.cuts

    @property
    def all_live(self) -> tuple["Node", ...]:
        """The nodes at or beneath this one that the observation shows."""
        return (self,) if self.is_live else self.live

    def kept(self) -> Iterator[tuple[str, "Node", str]]:
        """The children that belong to this node's owner: label, node, text."""
        for label, child in (self.children or {}).items():
            if child.is_kept:
                yield label, child, child.text or ""

    def joined(self, members: list[tuple[str, str]]) -> str:
        """The JSON of some members (label, text) in the shape of this node's value."""
        if isinstance(self.value, dict):
            return "{" + ",".join([f"{canonical(label)}:{text}" for label, text in members]) + "}"
        return "[" + ",".join([text for _, text in members]) + "]"


class Cutter:
    """Cuts states along rules. `warn(about, sentence)` hears each thing that a game's author should know.

    `swaps`, after a cut: the nodes that become blocks and are others than before, as pairs (old, new), if all else is
    as it was and each of the new ones stands where the old one stood; None if that is not known.
    """

    def __init__(self, rules: CuttingRules, warn: Callable[[str, str], None]) -> None:
        self._rules = rules
        self._warn = warn
        self._same_objects = False
        self.swaps: list[tuple[Node, Node]] | None = None

    def cut(self, state: Json, before: Node | None, same_objects: bool) -> Node:
        """Cut a state; `before` is the root of the last one. Raises StateError.

        `same_objects`: an object that was in the last state has not been changed since.
        """
        self._same_objects = same_objects
        self.swaps = [] if before is not None else None
        try:
            return self._visit(state, before, self._rules.patterns.start, self._rules.rest_root + 1, ())
        except RecursionError:
            raise StateError("", "it is nested too deep. Send it flatter.") from None

    def open(self, node: Node) -> dict[str, Node]:
        """The children of a node, walked now if they were not (no rule begins beneath such a node)."""
        if node.children is None:
            node.children, _ = self._members(node, None)
        return node.children

    def _visit(self, value: Json, before: Node | None, state: State, limit: int, labels: tuple[str, ...]) -> Node:
        node = Node(value, state, limit, labels, self._rules.num_live)
        if self._is_to_be_opened(node, before):
            num_swaps = len(self.swaps or ())
            node.children, replaced = self._members(node, before)
            if before is None or self.swaps is None or not self._gather_again(node, before, replaced, num_swaps):
                self._gather(node)
        else:
            node.text = canonical(value, labels)
            if node.is_cut:
                node.fingerprint = lasting_fingerprint(value)
            if before is not None and before.cuts:  # a container that held blocks is a single value now
                self.swaps = None
        if node.is_cut and node.text is not None and self._rules.is_rest(node.owner):
            self._warn_of_rest(node)
        if self.swaps is not None:
            if before is None or before.owner != node.owner or before.is_block is not node.is_block:
                self.swaps = None
            elif node.is_block:
                self.swaps.append((before, node))
        if before is not None and before.blocks is not None and before.owner == node.owner:
            if before.text == node.text and before.gaps == node.gaps:
                node.blocks, node.counts = before.blocks, before.counts
            else:
                node.before = before
        return node

    def _is_to_be_opened(self, node: Node, before: Node | None) -> bool:
        """Whether a rule may begin beneath the node, or its children are known from the last time."""
        if node.is_live or not isinstance(node.value, (dict, list)):
            return False
        below = node.state.below
        if below and below[0] < _inner_limit(node, self._rules):
            return True
        return before is not None and before.children is not None

    def _members(self, node: Node, before: Node | None) -> tuple[dict[str, Node], list[str]]:
        """The children of a container, and the labels of those that are others than before."""
        known = before.children if before is not None and before.children is not None else {}
        limit = _inner_limit(node, self._rules)
        state, same_state = node.state, node.state.same_for_all
        children = {}
        if before is not None and self._same_objects and self._keeps_its_labels(node, before):
            children = known.copy()
            members: Iterable[tuple[str, str, Json]] = _replaced(node.value, before)
        else:
            members = list(self._labelled(node))
            if before is None or not _is_alike(node, before) or [label for _, label, _ in members] != list(known):
                self.swaps = None
        replaced = []
        for step, label, member in members:
            child_state = same_state or state.step(step)
            child = known.get(label)
            if (
                child is None
                or child.state is not child_state
                or child.limit != limit
                or not self._is_known(child, member)
            ):
                child = self._visit(member, child, child_state, limit, (*node.labels, label))
                replaced.append(label)
            children[label] = child
        return children, replaced

    def _is_known(self, child: Node, member: Json) -> bool:
        """Whether a member is what a child was cut from."""
        if self._same_objects and child.value is member:
            return True
        # One that was opened might be read again, and its value is no longer what the state holds.
        return child.fingerprint is not None and child.children is None and child.fingerprint == fingerprint(member)

    def _keeps_its_labels(self, node: Node, before: Node) -> bool:
        """Whether all members are where they were under the names they had, though some are other objects now."""
        new, old = node.value, before.value
        if not _is_alike(node, before):
            return False
        if isinstance(new, dict):
            return isinstance(old, dict) and new.keys() == old.keys()
        key = self._rules.segment(self._naming_rule(node)[0]).key
        return len(new) == len(old) and (
            key is None or all(identity(new[at], key) == identity(old[at], key) for at in _other_objects(new, old))
        )

    def _gather_again(self, node: Node, before: Node, replaced: list[str], num_swaps: int) -> bool:
        """Take over from the last time what the `replaced` children do not touch; False if that is not enough."""
        children, known = node.children or {}, before.children or {}
        if any(children[label].is_kept or known[label].is_kept for label in replaced):
            return False
        node.text, node.gaps, node.live = before.text, before.gaps, before.live
        if any(children[label].all_live or known[label].all_live for label in replaced):
            node.live = _all_live(children)
        node.cuts = _swapped(before.cuts, (self.swaps or [])[num_swaps:])
        return True

    def _gather(self, node: Node) -> None:
        kept = list(node.kept())
        if kept or not node.value:
            node.text = node.joined([(label, text) for label, _, text in kept])
        if len(kept) < len(node.value) and isinstance(node.value, list):
            node.gaps = ((*node.labels, *[label for label, _, _ in kept]),)
        node.gaps = sum([child.gaps for _, child, _ in kept if child.gaps], node.gaps)
        children = node.children or {}
        # Not the node itself: a cycle would keep every frame alive until the garbage collector comes.
        node.cuts = tuple(
            chain.from_iterable([child.all_cuts for child in children.values() if child.is_cut or child.cuts])
        )
        node.live = _all_live(children)

    def _labelled(self, node: Node) -> Iterator[tuple[str, str, Json]]:
        """The members of a container in document order: pointer step, label, value."""
        value = node.value
        if isinstance(value, dict):
            for key in self._sorted_keys(node):
                yield key, key, value[key]
        else:
            for index, (label, member) in enumerate(zip(self._labels(node), value, strict=True)):
                yield str(index), label, member

    def _sorted_keys(self, node: Node) -> list[str]:
        try:
            return sorted(node.value)
        except TypeError:
            raise StateError(path_text(node.labels), "every member's name must be a string.") from None

    def _labels(self, node: Node) -> list[str]:
        """What each member of an array is called: its identity if it has one, else its position."""
        rule, is_on_the_way = self._naming_rule(node)
        key = self._rules.segment(rule).key
        if key is None:
            return [str(index) for index in range(len(node.value))]
        identities = [identity(member, key) for member in node.value]
        if None not in identities and len(set(identities)) == len(identities):
            return identities  # type: ignore[return-value]  # no None among them
        if not is_on_the_way and all(found is None for found in identities):
            return [str(index) for index in range(len(node.value))]
        return self._mended(node, identities, key, self._rules.segment(rule).match)

    def _naming_rule(self, node: Node) -> tuple[int, bool]:
        """The first rule that has a key and reaches through this node; else the one that owns it."""
        for index in node.state.below:
            if self._rules.num_live <= index < _inner_limit(node, self._rules) and self._rules.segment(index).key:
                return index, True
        return node.owner, False

    def _mended(self, node: Node, identities: list[str | None], key: str, match: str) -> list[str]:
        """Labels for an array in which an identity is missing or given twice: unique, and stable where they can be."""
        place = path_text(node.labels)
        taken = {identity for identity in identities if identity is not None}
        seen: set[str] = set()
        labels = []
        for index, found in enumerate(identities):
            if found is not None and found not in seen:
                seen.add(found)
                labels.append(found)
                continue
            if found is None:
                self._warn(
                    f"missing {match}",
                    f"{place}: member {index} has no {key!r} (rule {match!r}), so it is named by its position and "
                    f"every insertion before it changes its block. Give each member a {key!r} that the sight shows.",
                )
                label, number = f"#{index}", 2
            else:
                self._warn(
                    f"twice {match}",
                    f"{place}: two members have the {key!r} {found!r} (rule {match!r}); the later one is named "
                    f"'{found}#2'. Make {key!r} unique.",
                )
                label, number = f"{found}#2", 3
            while label in taken:
                label, number = f"{label.rpartition('#')[0]}#{number}", number + 1
            taken.add(label)
            labels.append(label)
        return labels

    def _warn_of_rest(self, node: Node) -> None:
        name = self._rules.segment(node.owner).name(node.labels)
        self._warn(
            f"rest {name}",
            f"No rule in game.toml takes all of {path_text(node.labels)}: what is left goes to the block {name!r} "
            "at the end of the prompt. Add a [[segment]] for it, or a [[live]] if it changes every frame.",
        )


def identity(member: Json, key: str) -> str | None:
    """What an array member calls itself, if it is an object whose field `key` is a string, a number or a boolean."""
    found = member.get(key) if isinstance(member, dict) else None
    if isinstance(found, str):
        return found
    return canonical(found) if isinstance(found, (bool, int, float)) else None


def _is_alike(node: Node, before: Node) -> bool:
    """Whether the same rules begin in the same kind of container."""
    is_same_kind = isinstance(node.value, dict) is isinstance(before.value, dict)
    return before.children is not None and before.state is node.state and before.limit == node.limit and is_same_kind


def _all_live(children: Mapping[str, Node]) -> tuple[Node, ...]:
    return tuple(chain.from_iterable([child.all_live for child in children.values() if child.is_live or child.live]))


def _replaced(value: Json, before: Node) -> Iterator[tuple[str, str, Json]]:
    """The members that are other objects than before, in a container that keeps its labels: step, label, value."""
    labels = list(before.children or ())
    if isinstance(value, dict):
        for label in labels:
            if value[label] is not before.value[label]:
                yield label, label, value[label]
    else:
        for at in _other_objects(value, before.value):
            yield str(at), labels[at], value[at]


def _other_objects(new: Sequence[Json], old: Sequence[Json]) -> Iterator[int]:
    """The places of two arrays of one length where other objects stand."""
    return compress(count(), map(is_not, new, old))


def _swapped(cuts: tuple[Node, ...], swaps: Sequence[tuple[Node, Node]]) -> tuple[Node, ...]:
    """The cuts with new nodes for old ones that are among them."""
    if not swaps:
        return cuts
    if len(swaps) > _FEW_SWAPS:
        new_of = {id(old): new for old, new in swaps}
        return tuple([new_of.get(id(cut), cut) for cut in cuts])
    changed = list(cuts)
    for old, new in swaps:
        if old in cuts:
            changed[cuts.index(old)] = new
    return tuple(changed)


def _inner_limit(node: Node, rules: CuttingRules) -> int:
    """Rules below this index may begin beneath the node. An array at the root stays one block of rest."""
    at_array_root = node.owner == rules.rest_root and not isinstance(node.value, dict)
    return rules.rest_root - 1 if at_array_root else node.owner
