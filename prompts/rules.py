"""The rules by which a game's state is cut, as `game.toml` gives them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from jinja2 import Template

from prompts.json_text import label_text
from prompts.pattern import Pattern, PatternSet, parse_pattern, places_of_wildcards

_FIELD = re.compile(r"\{([^{}]*)\}|[{}]")


@dataclass(frozen=True, slots=True)
class SegmentRule:
    """One `[[segment]]`. `name_parts` alternate between literal text and the place of a label in the path."""

    match: str
    pattern: Pattern
    name_parts: tuple[str | int, ...]
    key: str | None = None
    template: Template | None = None
    order: int = 0
    max_tokens: int | None = None

    def name(self, labels: Sequence[str]) -> str:
        """The name of the block at a path."""
        return "".join([part if isinstance(part, str) else label_text(labels[part]) for part in self.name_parts])

    def key_label(self, labels: Sequence[str]) -> str:
        """What `{key}` stands for at a path; without a `*` in the pattern, the last step."""
        places = places_of_wildcards(self.pattern)
        place = places[-1] if places else None
        return labels[-1 if place is None else place] if labels else ""


@dataclass(frozen=True, slots=True)
class LiveRule:
    """One `[[live]]`: a part of the state that the observation shows instead of a block."""

    match: str
    pattern: Pattern


class CuttingRules:
    """All rules of a game in the order in which they are tried: live ones, segments, and the two that take the rest.

    A smaller index wins, also inside what a larger one took. `ranks` gives the place of a rule's blocks in the prompt.
    """

    def __init__(self, live: Sequence[LiveRule], segments: Sequence[SegmentRule]) -> None:
        self.num_live = len(live)
        self.segments = (*segments, _REST_MEMBER, _REST_ROOT)
        self.rest_root = self.num_live + len(segments) + 1
        self.patterns = PatternSet([rule.pattern for rule in live] + [rule.pattern for rule in self.segments])
        by_order = sorted(range(len(segments)), key=lambda index: segments[index].order)
        ranks = {index: rank for rank, index in enumerate(by_order)}
        self.ranks = tuple(ranks.get(index - self.num_live, index) for index in range(self.rest_root + 1))

    def segment(self, index: int) -> SegmentRule:
        """The segment rule at an index that is not a live rule's."""
        return self.segments[index - self.num_live]

    def is_rest(self, index: int) -> bool:
        """Whether the rule is one of the two that take what no rule of the game took."""
        return index >= self.rest_root - 1


def name_parts(name: str, pattern: Pattern) -> tuple[str | int, ...]:
    """Read `unit/{key}`; raises ValueError with a sentence that says what to do."""
    places = places_of_wildcards(pattern)
    parts: list[str | int] = []
    end = 0
    for found in _FIELD.finditer(name):
        parts.append(name[end : found.start()])
        parts.append(_place(found, places))
        end = found.end()
    return tuple(part for part in (*parts, name[end:]) if part != "")


def _place(found: re.Match[str], places: Sequence[int | None]) -> int:
    field = found.group(1)
    if field is None:
        raise ValueError("a single '{' or '}' in a name. Write {key}, or {1} for what the first `*` stands for.")
    if field != "key" and not (field.isascii() and field.isdigit() and int(field)):
        raise ValueError(f"{{{field}}} is not known. A name may hold {{key}}, {{1}}, {{2}} and so on.")
    number = len(places) if field == "key" else int(field)
    if not 0 < number <= len(places):
        raise ValueError(f"{{{field}}} needs a `*` in `match` that it can stand for, and there is none.")
    place = places[number - 1]
    if place is None:
        raise ValueError(f"{{{field}}} stands between two `**`, where its place is not fixed. Use one `**` only.")
    return place


# An object at the root gives a block for each member nobody took, so that one of them can change alone.
_REST_MEMBER = SegmentRule("/*", parse_pattern("/*"), ("rest/", 0))
_REST_ROOT = SegmentRule("", (), ("rest",))
