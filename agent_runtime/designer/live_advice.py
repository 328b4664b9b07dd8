"""Advice on what is live in truth: what changes so often that it is no use as a block."""

import json
from collections import Counter
from collections.abc import Iterator

from agent_runtime.designer.advice import Advice, share
from agent_runtime.designer.course import Costs, Family, Pointer, pointer_step
from agent_runtime.designer.rule_changes import made_live
from agent_runtime.designer.trials import LEAST_CHANCES, Trials
from prompts.pattern import parse_pattern

# A block that changes this often is no use as a block; a member that does, no use in one.
_OFTEN = 0.75
_OFTEN_MEMBER = 0.5
# The live part is computed for every session and in every turn: what is larger stays in blocks, which sessions share.
_MOST_LIVE_TOKENS = 200
# Members of the state that are tried each, under a rule that names none of them.
_MOST_KINDS = 12


def live_advice(trials: Trials) -> Iterator[Advice]:
    """Yield what changes so often that it should be told at the prompt's end instead of in a block."""
    for family in trials.course.families:
        if (whole := _advice_on(trials, family, _MOST_LIVE_TOKENS)) is not None:
            yield whole
            continue
        room = float(_MOST_LIVE_TOKENS)
        for kind in sorted(family.kinds.values(), key=lambda kind: -kind.changes)[:_MOST_KINDS]:
            if (piece := _advice_on(trials, kind, room)) is not None:
                assert piece.after is not None
                room -= piece.after.observation - trials.before.observation
                yield piece


def _advice_on(trials: Trials, family: Family, room: float) -> Advice | None:
    """What of a family should be live, if it takes no more tokens than there is room for."""
    if family.chances < LEAST_CHANCES or not family.match:
        return None
    best: tuple[Costs, tuple[str, ...], str] | None = None
    for matches, sentence in _live_candidates(family):
        after = trials.costs(made_live(matches))
        grown = after.observation - trials.before.observation
        if trials.is_worse(after) or grown > room:
            continue
        if best is None or (after.blocks_mode, after.observation) < (best[0].blocks_mode, best[0].observation):
            best = after, matches, sentence
    if best is None:
        return None
    after, matches, sentence = best
    trials.advised(made_live(matches), matches)
    if after.observation - trials.before.observation < 1:
        shown = " ".join(f"{{{{ live{_member(match)} }}}}" for match in matches)
        sentence += f" And show it in observation.md, as {shown}: the one that is there does not."
    toml = "\n".join(f"[[live]]\nmatch = {json.dumps(match)}" for match in matches)
    return Advice("live", family.name, sentence, toml, trials.rules.place(family), trials.before, after)


def _live_candidates(family: Family) -> Iterator[tuple[tuple[str, ...], str]]:
    """What of a family could be live: patterns, and the sentence that says so."""
    often = family.changes >= _OFTEN * family.chances
    if often:
        yield (family.match,), f"`{family.name}` changed in {share(family)}: make it live."
    counts: Counter[Pointer] = Counter()
    for together, times in family.sets.items():
        for pointer in together:
            counts[pointer] += times
    members = sorted(p for p, times in counts.items() if p and times >= _OFTEN_MEMBER * family.chances)
    if members:
        # What `/**` takes, it takes whole; in front of a member it would mean more.
        begin = family.match.removesuffix("/**")
        matches = tuple(begin + "".join(map(pointer_step, pointer)) for pointer in members)
        names = ", ".join(f"`{'.'.join(pointer)}`" for pointer in members)
        times = max(counts[pointer] for pointer in members)
        often_in = f"{times} of {family.chances} frames" + ("" if len(family.all_parts) == 1 else " (all parts)")
        yield (
            matches,
            f"In `{family.name}`, {names} changed in {often_in}: make it live, the rest can stay a block.",
        )


def _member(match: str) -> str:
    return "".join(f"[{json.dumps(step)}]" if isinstance(step, str) else "[...]" for step in parse_pattern(match))
