"""JSON Pointer patterns, compiled together into one automaton that walks down a state beside the reader.

A pattern is a JSON Pointer (RFC 6901) in which `*` stands for exactly one step and `**` for any number, also none. All
patterns of a kind are matched at once: a `State` says which patterns match the path walked so far, and which may still
match below it, so that a reader can leave out whole subtrees. States are made when first reached and are shared.
"""

import re
from collections.abc import Sequence
from enum import Enum

from prompts.errors import PatternError

_BAD_ESCAPE = re.compile(r"~(?![01])")


class Wild(Enum):
    """The two steps of a pattern that are no names."""

    ONE = "*"
    ANY = "**"


Pattern = tuple[str | Wild, ...]


def parse_pattern(text: str) -> Pattern:
    """Read a pattern; raises PatternError."""
    if text and not text.startswith("/"):
        raise PatternError(text, f"a JSON Pointer begins with '/'. Write {'/' + text!r}.")
    if _BAD_ESCAPE.search(text):
        raise PatternError(text, "a '~' in a name is written '~0', and a '/' in a name '~1'.")
    return tuple(_step(part) for part in text.split("/")[1:])


def _step(part: str) -> str | Wild:
    if part in ("*", "**"):
        return Wild(part)
    return part.replace("~1", "/").replace("~0", "~")


def places_of_wildcards(pattern: Pattern) -> list[int | None]:
    """Where in a matching path each `*` stands: from the front, from behind (negative), or None between two `**`."""
    any_at = [index for index, step in enumerate(pattern) if step is Wild.ANY]
    places: list[int | None] = []
    for index, step in enumerate(pattern):
        if step is Wild.ONE and (not any_at or index < any_at[0]):
            places.append(index)
        elif step is Wild.ONE:
            places.append(index - len(pattern) if index > any_at[-1] else None)
    return places


class State:
    """Where a path stands in all patterns of a set.

    `matches`: the patterns that match the path itself; `below`: those that may match something beneath it; both are
    indices in ascending order.
    """

    __slots__ = ("matches", "below", "_set", "_items", "_names", "_next", "_other")

    def __init__(self, owner: "PatternSet", items: frozenset[tuple[int, int]]) -> None:
        self._set = owner
        self._items = items
        self.matches = tuple(sorted({i for i, at in items if at == len(owner.patterns[i])}))
        self.below = tuple(sorted({i for i, at in items if at < len(owner.patterns[i])}))
        self._names = {s for i, at in items if at < len(p := owner.patterns[i]) and isinstance(s := p[at], str)}
        self._next: dict[str, State] = {}
        self._other: State | None = None

    def step(self, name: str) -> "State":
        """The state one step further down, at the member called `name` (an array's index in decimal)."""
        if name in self._names:
            found = self._next.get(name)
            if found is None:
                found = self._next[name] = self._set.after(self._items, name)
            return found
        if self._other is None:
            self._other = self._set.after(self._items, None)
        return self._other

    @property
    def same_for_all(self) -> "State | None":
        """The state of every member, if their names make no difference here."""
        return None if self._names else self.step("")


class PatternSet:
    """Patterns that are matched together, in their order; `start` is the state at the root."""

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self.patterns = tuple(patterns)
        self._states: dict[frozenset[tuple[int, int]], State] = {}
        self.start = self._state({(index, 0) for index in range(len(self.patterns))})

    def after(self, items: frozenset[tuple[int, int]], name: str | None) -> State:
        """The state behind one more step; `name` is None for a name that no pattern spells out."""
        moved: set[tuple[int, int]] = set()
        for index, at in items:
            step = self.patterns[index][at] if at < len(self.patterns[index]) else None
            if step is Wild.ANY:
                moved.add((index, at))
            elif step is Wild.ONE or (step is not None and step == name):
                moved.add((index, at + 1))
        return self._state(moved)

    def _state(self, items: set[tuple[int, int]]) -> State:
        for index, at in list(items):
            while at < len(self.patterns[index]) and self.patterns[index][at] is Wild.ANY:
                at += 1
                items.add((index, at))
        key = frozenset(items)
        # setdefault: two threads that reach a state at once agree on one of the two they made.
        return self._states.get(key) or self._states.setdefault(key, State(self, key))
