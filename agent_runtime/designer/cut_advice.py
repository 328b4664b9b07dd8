"""Advice on how the state is cut: names that last, and blocks that are neither too large nor too small."""

from collections.abc import Iterator, Sequence

from agent_runtime.designer.advice import Advice, share
from agent_runtime.designer.course import Family
from agent_runtime.designer.rule_changes import (
    Change,
    added,
    changed,
    grouped,
    put_before,
    rule_keys,
    segment_toml,
    toml_before,
)
from agent_runtime.designer.trials import LEAST_CHANCES, Trials, is_worth
from agent_runtime.turn import Json
from prompts.pattern import Wild
from prompts.rules import SegmentRule

_SMALL_PART, _MANY_PARTS, _GROUP_TOKENS, _GROUP_COST = 16.0, 8, 160, 1.25
_LARGE_PART, _SPLIT_TOKENS = 256.0, 128
_IDENTITIES = ("id", "key", "name", "uid", "uuid", "code", "slug")


def key_advice(trials: Trials) -> Iterator[Advice]:
    """Yield what members of arrays should be named by."""
    for family in trials.course.families:
        rule = None if family.is_rest else trials.rules.of(family)
        if rule is None or rule.key is not None or not any(step is Wild.ONE for step in rule.pattern):
            continue
        for key in _identities(trials, rule):
            change = changed(rule.match, key=key)
            after = trials.costs(change)
            if not is_worth(trials.before.blocks_mode, after.blocks_mode):
                continue
            trials.advised(change)
            sentence = (
                f"`{family.name}` names members of an array by their place, so one that comes or goes changes all "
                f"behind it: name them by their {key!r}."
            )
            yield Advice(
                "key", family.name, sentence, rule_keys(rule, key=key), trials.rules.place(family), trials.before, after
            )
            break


def _identities(trials: Trials, rule: SegmentRule) -> Iterator[str]:
    """Fields that name every member of the arrays that a rule walks through."""
    arrays = list(_arrays(trials.course.file.frames[-1].state, rule.pattern))
    for key in _IDENTITIES:
        found = [[member.get(key) if isinstance(member, dict) else None for member in array] for array in arrays]
        if arrays and all(
            all(isinstance(name, (str, int)) for name in names) and len(set(map(str, names))) == len(names)
            for names in found
        ):
            yield key


def split_advice(trials: Trials) -> Iterator[Advice]:
    """Yield what is so large, and changes so little at once, that it should be several blocks."""
    for family in trials.course.families:
        rule = trials.rules.of(family)
        if rule.max_tokens is not None:
            continue
        name = family.name.removeprefix("rest/")
        if family.is_rest:
            toml = segment_toml(family.match, name, max_tokens=_SPLIT_TOKENS)
            change = added(family.match, name, max_tokens=_SPLIT_TOKENS)
        else:
            toml, change = rule_keys(rule, max_tokens=_SPLIT_TOKENS), changed(rule.match, max_tokens=_SPLIT_TOKENS)
        whole = _split(trials, family, change, toml)
        if whole is not None:
            yield whole
            continue
        for kind in family.kinds.values() if rule.template is None and rule.match == "/*" else ():
            toml = toml_before(rule, kind.match, kind.name, max_tokens=_SPLIT_TOKENS)
            change = put_before(rule.match, kind.match, kind.name, max_tokens=_SPLIT_TOKENS)
            if (piece := _split(trials, kind, change, toml)) is not None:
                yield piece


def _split(trials: Trials, family: Family, change: Change, toml: str) -> Advice | None:
    if family.tokens < _LARGE_PART or family.changes < LEAST_CHANCES or family.match in trials.now_live:
        return None
    after = trials.costs(change)
    # Parts repeat their path, which prefix pays for: a little, or a fraction of what a block mode saves.
    saved, lost = trials.before.blocks_mode - after.blocks_mode, after.prefix_mode - trials.before.prefix_mode
    if saved < 0.2 * trials.before.blocks_mode or lost > max(0.05 * trials.before.prefix_mode, 0.25 * saved):
        return None
    trials.advised(change)
    often = share(family)
    sentence = f"`{family.name}` has {family.tokens:.0f} tokens and little of them changes at once ({often}): split it."
    return Advice("split", family.name, sentence, toml, trials.rules.place(family), trials.before, after)


def group_advice(trials: Trials) -> Iterator[Advice]:
    """Yield what are so many small blocks that they should be a few larger ones."""
    for family in trials.course.families:
        rule = trials.rules.of(family)
        wild = [step for step in rule.pattern if isinstance(step, Wild)]
        if family.is_rest or wild[-1:] != [Wild.ONE] or rule.pattern[-1] is not Wild.ONE:
            continue
        if wild == [Wild.ONE] and _are_many_and_small(trials, family):
            match, name = rule.match.rpartition("/")[0], family.name.replace("/*", "").replace("*", "") or "all"
            change = grouped(rule.match, match, name, _GROUP_TOKENS)
            yield from _group(trials, family, change, segment_toml(match, name, max_tokens=_GROUP_TOKENS))
        elif wild == [Wild.ONE, Wild.ONE]:
            for kind in family.kinds.values():
                if not _are_many_and_small(trials, kind):
                    continue
                match, name = kind.match.rpartition("/")[0], kind.name.replace("/*", "").replace("*", "")
                change = put_before(rule.match, match, name, max_tokens=_GROUP_TOKENS)
                toml = toml_before(rule, match, name, max_tokens=_GROUP_TOKENS)
                yield from _group(trials, kind, change, toml)


def _are_many_and_small(trials: Trials, family: Family) -> bool:
    return family.tokens <= _SMALL_PART and family.part_frames >= _MANY_PARTS * trials.num_frames


def _group(trials: Trials, family: Family, change: Change, toml: str) -> Iterator[Advice]:
    parts = family.part_frames / trials.num_frames
    about = (
        f"`{family.name}` is {family.tokens:.0f} tokens a block, {parts:.0f} blocks in a frame, and each repeats its "
        "path: group them."
    )
    if trials.rules.of(family).template is not None:
        sentence = f"{about} The template then gets the whole container as `value`."
        yield Advice("group", family.name, sentence, toml, trials.rules.place(family))
        return
    after = trials.costs(change)
    if after.blocks_mode <= _GROUP_COST * trials.before.blocks_mode and after.prompt < trials.before.prompt:
        trials.advised(change)
        yield Advice("group", family.name, about, toml, trials.rules.place(family), trials.before, after)


def _arrays(state: Json, pattern: Sequence[str | Wild]) -> Iterator[list[Json]]:
    """The arrays whose members a pattern's `*` stands for."""
    if not pattern or pattern[0] is Wild.ANY:
        return
    step, *rest = pattern
    if step is Wild.ONE:
        members = state if isinstance(state, list) else list(state.values()) if isinstance(state, dict) else []
        if isinstance(state, list) and state:
            yield state
        for member in members:
            yield from _arrays(member, rest)
    elif isinstance(state, dict) and step in state:
        yield from _arrays(state[step], rest)
    elif isinstance(state, list) and isinstance(step, str) and step.isdecimal() and int(step) < len(state):
        yield from _arrays(state[int(step)], rest)
