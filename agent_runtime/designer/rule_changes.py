"""What may be written into game.toml instead: as rules to try on the same frames, and as text to write."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from agent_runtime.turn import Json
from prompts.pattern import parse_pattern
from prompts.rules import LiveRule, SegmentRule, name_parts

Live = tuple[LiveRule, ...]
Segments = tuple[SegmentRule, ...]
Change = Callable[[Live, Segments], tuple[Live, Segments]]


def made_live(matches: Sequence[str]) -> Change:
    """The parts at `matches` are told at the prompt's end, and are in no block."""
    rules = tuple(LiveRule(match, parse_pattern(match)) for match in matches)
    return lambda live, segments: ((*live, *rules), segments)


def changed(match: str, **fields: Json) -> Change:
    """The rule with this `match` has other `fields`."""
    return lambda live, segments: (
        live,
        tuple(replace(rule, **fields) if rule.match == match else rule for rule in segments),
    )


def added(match: str, name: str, **fields: Json) -> Change:
    """A rule more, behind the others."""
    pattern = parse_pattern(match)
    rule = SegmentRule(match, pattern, name_parts(_literal(name), pattern), **fields)
    return lambda live, segments: (live, (*segments, rule))


def put_before(match: str, other: str, name: str, **fields: Json) -> Change:
    """A rule for `other` in front of the one with `match`, which leaves it what it takes."""

    def change(live: Live, segments: Segments) -> tuple[Live, Segments]:
        more: list[SegmentRule] = []
        for rule in segments:
            if rule.match == match:
                more.append(SegmentRule(other, parse_pattern(other), (_literal(name),), order=rule.order, **fields))
            more.append(rule)
        return live, tuple(more)

    return change


def grouped(match: str, whole: str, name: str, max_tokens: int) -> Change:
    """One rule takes the container `whole`, cut into pieces of `max_tokens`, where another took each member."""
    pattern = parse_pattern(whole)

    def change(live: Live, segments: Segments) -> tuple[Live, Segments]:
        return live, tuple(
            SegmentRule(whole, pattern, (name,), order=rule.order, max_tokens=max_tokens)
            if rule.match == match
            else rule
            for rule in segments
        )

    return change


def _literal(name: str) -> str:
    """A name without what a rule's name would read as a field."""
    return name.replace("{", "(").replace("}", ")")


def segment_toml(match: str, name: str, **fields: Json) -> str:
    """A whole rule, as it is written into game.toml."""
    values: Mapping[str, Json] = {"match": match, "name": _literal(name), **fields}
    return "[[segment]]\n" + "\n".join(
        f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()
    )


def toml_before(rule: SegmentRule, match: str, name: str, **fields: Json) -> str:
    """A whole rule that is to stand in front of one that is there."""
    order: Mapping[str, Json] = {"order": rule.order} if rule.order else {}
    where = f"# in front of the [[segment]] with match = {json.dumps(rule.match)}"
    return f"{segment_toml(match, name, **order, **fields)}\n{where}"


def rule_keys(rule: SegmentRule, **fields: Json) -> str:
    """Keys of a rule that is there, as they are written into it."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in fields.items()]
    return "\n".join([*lines, f"# in the [[segment]] with match = {json.dumps(rule.match)}"])
