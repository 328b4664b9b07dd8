"""Advice on the order of the rules, which only `prefix` minds."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from agent_runtime.designer.advice import Advice
from agent_runtime.designer.course import Family
from agent_runtime.designer.rule_changes import Change
from agent_runtime.designer.trials import Trials, is_worth


def order_advice(trials: Trials) -> Iterator[Advice]:
    """Yield the order in which what seldom changes comes first."""
    rules = trials.course.game.segment_rules
    num_live = trials.course.game.cutting.num_live
    often = {family.rule - num_live: family.frames_changed for family in trials.course.families if not family.is_rest}
    now = sorted(range(len(rules)), key=lambda index: rules[index].order)
    better = sorted(now, key=lambda index: often.get(index, 0))
    if better == now:
        return
    orders = {rules[index].match: 10 * place for place, index in enumerate(better)}
    change: Change = lambda live, segments: (  # noqa: E731
        live,
        tuple(replace(rule, order=orders.get(rule.match, rule.order)) for rule in segments),
    )
    after = trials.costs(change)
    if not is_worth(trials.before.prefix_mode, after.prefix_mode):
        return
    trials.advised(change)
    family, behind = _worst_placed(trials, now)
    sentence = (
        f"order: `{family.name}` changes in {family.frames_changed} of {trials.num_frames - 1} frames and stands "
        f"before {behind:.0f} tokens that change less often, which `prefix` computes again each time. What seldom "
        "changes comes first; `star` and `anchored` do not mind."
    )
    toml = "\n".join(f"order = {orders[rules[index].match]:<5}# {rules[index].match}" for index in better)
    yield Advice("order", family.name, sentence, toml, trials.rules.place(family), trials.before, after)


def _worst_placed(trials: Trials, now: Sequence[int]) -> tuple[Family, float]:
    """The family whose changes make most tokens behind it be computed again, and how many stand there."""
    num_live = trials.course.game.cutting.num_live
    place = {index: number for number, index in enumerate(now)}
    placed = sorted(
        (family for family in trials.course.families if not family.is_rest),
        key=lambda family: place[family.rule - num_live],
    )
    worst, most = placed[0], (0.0, 0.0)
    for number, family in enumerate(placed):
        behind = sum(
            other.tokens_of_all(trials.num_frames)
            for other in placed[number + 1 :]
            if other.frames_changed < family.frames_changed
        )
        if (family.frames_changed * behind, behind) > most:
            worst, most = family, (family.frames_changed * behind, behind)
    return worst, most[1]
