"""Advice on how a game cuts its state, each piece tried on the very frames before it is given."""

import difflib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from agent_runtime.designer.course import Costs, Course, Family, Pointer, costs_under, pointer_step
from agent_runtime.designer.errors import BadStates
from agent_runtime.designer.rule_changes import Change, added, changed, grouped, made_live, rule_keys, segment_toml
from agent_runtime.designer.tokens import TokenCounter
from agent_runtime.turn import Json
from prompts import Game
from prompts.game_toml import GameToml
from prompts.pattern import Wild, parse_pattern
from prompts.rules import CuttingRules, LiveRule, SegmentRule

# Of a change under which the game's own templates fail.
_BEYOND_REASON = Costs(*[float("inf")] * 5)

Kind = Literal[
    "live", "order", "split", "group", "key", "rest", "unused", "max_tokens", "context", "hidden_live", "warning", "few"
]

# Fewer changes than this say nothing about what is usual.
_LEAST_CHANCES = 3
# A block that changes this often is no use as a block; a member that does, no use in one.
_OFTEN = 0.75
_OFTEN_MEMBER = 0.5
# The live part is computed for every session and in every turn: what is larger stays in blocks, which sessions share.
_MOST_LIVE_TOKENS = 200
# What is worth saying: a share of the tokens, and so many at least.
_WORTH_SHARE, _WORTH_TOKENS = 0.05, 8.0
_SMALL_PART, _MANY_PARTS, _GROUP_TOKENS, _GROUP_COST = 16.0, 8, 160, 1.25
_LARGE_PART, _SPLIT_TOKENS = 256.0, 128
_IDENTITIES = ("id", "key", "name", "uid", "uuid", "code", "slug")


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing to do or to know. `toml` is what to write into game.toml; `place` is the rule that it is about.

    `before` and `after` are what a turn costs on these frames without and with it, where it could be tried.
    """

    kind: Kind
    about: str
    sentence: str
    toml: str | None = None
    place: str | None = None
    before: Costs | None = None
    after: Costs | None = None

    @property
    def saved(self) -> float:
        """The tokens that it saves a turn, in the mode that it helps most."""
        if self.before is None or self.after is None:
            return 0.0
        return max(
            self.before.blocks_mode - self.after.blocks_mode, self.before.prefix_mode - self.after.prefix_mode, 0.0
        )


@dataclass(frozen=True, slots=True)
class Advices:
    """All advice on a course, what saves most first, and what following all that was tried would cost."""

    pieces: tuple[Advice, ...]
    before: Costs
    after: Costs | None


def advise(course: Course, counter: TokenCounter) -> Advices:
    """Return what can be done better; takes as many runs over the frames as there are things to try."""
    return _Adviser(course, counter).advise()


class _Adviser:
    def __init__(self, course: Course, counter: TokenCounter) -> None:
        self._course = course
        self._counter = counter
        self._before = course.costs
        self._num_frames = len(course.frames)
        self._changes: list[Change] = []
        self._now_live: set[str] = set()
        self._tables = GameToml(course.game.folder / "game.toml")

    def advise(self) -> Advices:
        pieces = [*self._game_warnings(), *self._unused(), *self._context()]
        if self._num_frames <= _LEAST_CHANCES:
            pieces.append(self._few())
        else:
            tried = [*self._live(), *self._keys(), *self._splits(), *self._groups(), *self._order()]
            pieces += sorted(tried, key=lambda advice: -advice.saved)
        pieces += [*self._rest(), *self._max_tokens(), *self._hidden_live(), *self._state_warnings()]
        after = None
        if len(self._changes) > 1:
            together = self._costs(self._changes)
            after = None if together is _BEYOND_REASON else together
        return Advices(tuple(pieces), self._before, after)

    # Trying.

    def _costs(self, changes: Sequence[Change]) -> Costs:
        game = self._course.game
        live, segments = game.live_rules, game.segment_rules
        for change in changes:
            live, segments = change(live, segments)
        under: Game = replace(game, live_rules=live, segment_rules=segments, cutting=CuttingRules(live, segments))
        try:
            return costs_under(under, self._course.file, self._counter, self._course.sight)
        except BadStates:
            # The frames are sound, so it is the change: it takes away what a template shows.
            return _BEYOND_REASON

    def _is_worse(self, after: Costs) -> bool:
        before = self._before
        return after.blocks_mode > 1.02 * before.blocks_mode + 4 or after.prefix_mode > 1.02 * before.prefix_mode + 4

    # What is live in truth.

    def _live(self) -> Iterator[Advice]:
        for family in self._course.families:
            if family.chances < _LEAST_CHANCES or not family.match:
                continue
            best: tuple[Costs, tuple[str, ...], str] | None = None
            for matches, sentence in self._live_candidates(family):
                after = self._costs([made_live(matches)])
                grown = after.observation - self._before.observation
                if self._is_worse(after) or grown > _MOST_LIVE_TOKENS:
                    continue
                if best is None or (after.blocks_mode, after.observation) < (best[0].blocks_mode, best[0].observation):
                    best = after, matches, sentence
            if best is not None:
                after, matches, sentence = best
                self._changes.append(made_live(matches))
                self._now_live |= set(matches)
                if after.observation - self._before.observation < 1:
                    shown = " ".join(f"{{{{ live{_member(match)} }}}}" for match in matches)
                    sentence += f" And show it in observation.md, as {shown}: the one that is there does not."
                toml = "\n".join(f"[[live]]\nmatch = {json.dumps(match)}" for match in matches)
                yield Advice("live", family.name, sentence, toml, self._place(family), self._before, after)

    def _live_candidates(self, family: Family) -> Iterator[tuple[tuple[str, ...], str]]:
        """What of a family could be live: patterns, and the sentence that says so."""
        often = family.changes >= _OFTEN * family.chances
        if often:
            yield (family.match,), f"`{family.name}` changed in {_share(family)}: make it live."
        counts: Counter[Pointer] = Counter()
        for together, times in family.sets.items():
            for pointer in together:
                counts[pointer] += times
        members = sorted(p for p, times in counts.items() if p and times >= _OFTEN_MEMBER * family.chances)
        if members:
            matches = tuple(family.match + "".join(map(pointer_step, pointer)) for pointer in members)
            names = ", ".join(f"`{'.'.join(pointer)}`" for pointer in members)
            times = max(counts[pointer] for pointer in members)
            often_in = f"{times} of {family.chances} frames" + ("" if len(family.all_parts) == 1 else " (all parts)")
            yield (
                matches,
                f"In `{family.name}`, {names} changed in {often_in}: make it live, the rest can stay a block.",
            )

    # Names, sizes, order.

    def _keys(self) -> Iterator[Advice]:
        for family in self._course.families:
            rule = None if family.is_rest else self._segment(family)
            if rule is None or rule.key is not None or not any(step is Wild.ONE for step in rule.pattern):
                continue
            for key in self._identities(family, rule):
                change = changed(rule.match, key=key)
                after = self._costs([change])
                if not self._worth(self._before.blocks_mode, after.blocks_mode):
                    continue
                self._changes.append(change)
                sentence = (
                    f"`{family.name}` names members of an array by their place, so one that comes or goes changes all "
                    f"behind it: name them by their {key!r}."
                )
                yield Advice(
                    "key", family.name, sentence, rule_keys(rule, key=key), self._place(family), self._before, after
                )
                break

    def _identities(self, family: Family, rule: SegmentRule) -> Iterator[str]:
        """Fields that name every member of the arrays that a rule walks through."""
        arrays = list(_arrays(self._course.file.frames[-1].state, rule.pattern))
        for key in _IDENTITIES:
            found = [[member.get(key) if isinstance(member, dict) else None for member in array] for array in arrays]
            if arrays and all(
                all(isinstance(name, (str, int)) for name in names) and len(set(map(str, names))) == len(names)
                for names in found
            ):
                yield key

    def _splits(self) -> Iterator[Advice]:
        for family in self._course.families:
            rule = self._segment(family)
            if rule.max_tokens is not None or family.tokens < _LARGE_PART or family.changes < _LEAST_CHANCES:
                continue
            if family.match in self._now_live:
                continue
            change = changed(rule.match, max_tokens=_SPLIT_TOKENS)
            if family.is_rest:
                change = added(family.match, family.name.removeprefix("rest/"), max_tokens=_SPLIT_TOKENS)
            after = self._costs([change])
            # Parts repeat their path, which prefix pays for: a little, or a fraction of what a block mode saves.
            saved, lost = self._before.blocks_mode - after.blocks_mode, after.prefix_mode - self._before.prefix_mode
            if saved < 0.2 * self._before.blocks_mode or lost > max(0.05 * self._before.prefix_mode, 0.25 * saved):
                continue
            self._changes.append(change)
            sentence = (
                f"`{family.name}` has {family.tokens:.0f} tokens and little of them changes at once "
                f"({_share(family)}): split it."
            )
            yield Advice(
                "split",
                family.name,
                sentence,
                rule_keys(rule, max_tokens=_SPLIT_TOKENS)
                if not family.is_rest
                else segment_toml(family.match, family.name.removeprefix("rest/"), max_tokens=_SPLIT_TOKENS),
                self._place(family),
                self._before,
                after,
            )

    def _groups(self) -> Iterator[Advice]:
        for family in self._course.families:
            rule = self._segment(family)
            parts = family.part_frames / self._num_frames
            is_small = family.tokens <= _SMALL_PART and parts >= _MANY_PARTS
            single = [step for step in rule.pattern if isinstance(step, Wild)] == [Wild.ONE]
            if family.is_rest or not is_small or not single or rule.pattern[-1] is not Wild.ONE:
                continue
            about = (
                f"`{family.name}` is {family.tokens:.0f} tokens a block, {parts:.0f} blocks in a frame, and each "
                "repeats its path: group them."
            )
            match, name = rule.match.rpartition("/")[0], family.name.replace("/*", "").replace("*", "") or "all"
            toml = segment_toml(match, name, max_tokens=_GROUP_TOKENS)
            if rule.template is not None:
                sentence = f"{about} The template then gets the whole container as `value`."
                yield Advice("group", family.name, sentence, toml, self._place(family))
                continue
            change = grouped(rule.match, match, name, _GROUP_TOKENS)
            after = self._costs([change])
            if after.blocks_mode > _GROUP_COST * self._before.blocks_mode or after.prompt >= self._before.prompt:
                continue
            self._changes.append(change)
            yield Advice("group", family.name, about, toml, self._place(family), self._before, after)

    def _order(self) -> Iterator[Advice]:
        rules = self._course.game.segment_rules
        num_live = self._course.game.cutting.num_live
        often = {
            family.rule - num_live: family.frames_changed for family in self._course.families if not family.is_rest
        }
        now = sorted(range(len(rules)), key=lambda index: rules[index].order)
        better = sorted(now, key=lambda index: often.get(index, 0))
        if better == now:
            return
        orders = {rules[index].match: 10 * place for place, index in enumerate(better)}
        change: Change = lambda live, segments: (  # noqa: E731
            live,
            tuple(replace(rule, order=orders.get(rule.match, rule.order)) for rule in segments),
        )
        after = self._costs([change])
        if not self._worth(self._before.prefix_mode, after.prefix_mode):
            return
        self._changes.append(change)
        family, behind = self._worst_placed(now)
        sentence = (
            f"order: `{family.name}` changes in {family.frames_changed} of {self._num_frames - 1} frames and stands "
            f"before {behind:.0f} tokens that change less often, which `prefix` computes again each time. What seldom "
            "changes comes first; `star` and `anchored` do not mind."
        )
        toml = "\n".join(f"order = {orders[rules[index].match]:<5}# {rules[index].match}" for index in better)
        yield Advice("order", family.name, sentence, toml, self._place(family), self._before, after)

    def _worst_placed(self, now: Sequence[int]) -> tuple[Family, float]:
        """The family whose changes make most tokens behind it be computed again, and how many stand there."""
        num_live = self._course.game.cutting.num_live
        place = {index: number for number, index in enumerate(now)}
        placed = sorted(
            (family for family in self._course.families if not family.is_rest),
            key=lambda family: place[family.rule - num_live],
        )
        worst, most = placed[0], (0.0, 0.0)
        for number, family in enumerate(placed):
            behind = sum(
                other.tokens_of_all(self._num_frames)
                for other in placed[number + 1 :]
                if other.frames_changed < family.frames_changed
            )
            if (family.frames_changed * behind, behind) > most:
                worst, most = family, (family.frames_changed * behind, behind)
        return worst, most[1]

    # What needs no trial.

    def _rest(self) -> Iterator[Advice]:
        for family in self._course.families:
            if family.is_rest and family.match not in self._now_live:
                what = f"`{family.name}` is not matched by any rule: it stands at the end of every prompt"
                sentence = (
                    f"{what} with {family.tokens_of_all(self._num_frames):.0f} tokens and changed in {_share(family)}."
                )
                if not family.match:
                    yield Advice("rest", family.name, f"{sentence} Give its parts rules of their own.")
                    continue
                toml = segment_toml(family.match, family.name.removeprefix("rest/"))
                yield Advice("rest", family.name, f"{sentence} Give it a rule.", toml)

    def _unused(self) -> Iterator[Advice]:
        game, used = self._course.game, self._course.used_rules
        state = self._course.file.frames[-1].state
        tables = [*self._tables.live, *self._tables.segments]
        rules: tuple[LiveRule | SegmentRule, ...] = (*game.live_rules, *game.segment_rules)
        for index, rule in enumerate(rules):
            if index in used:
                continue
            hint = ""
            first = rule.pattern[0] if rule.pattern else None
            if isinstance(first, str) and isinstance(state, dict) and first not in state:
                near = difflib.get_close_matches(first, state, n=1)
                hint = f" The state has no member {first!r}." + (f" Did you mean {near[0]!r}?" if near else "")
            sight = " under this sight" if self._course.sight else ""
            sentence = f"The rule {rule.match!r} takes nothing in any frame{sight}.{hint}"
            yield Advice("unused", rule.match, sentence, place=_place_of(tables[index].place("match")))

    def _context(self) -> Iterator[Advice]:
        if self._course.beyond is None:
            return
        number, tokens, names = self._course.beyond
        shown = ", ".join(f"`{name}`" for name in names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        yield Advice(
            "context",
            names[0] if names else "observation",
            f"The prompt of frame {number} has {tokens:,} tokens, without persona, history and answers, and the "
            f"model's context ends at {self._counter.context:,}. Beyond it: {shown or 'the observation'}. "
            "Narrow the sight, cut the state shorter, or serve a model with a longer context.",
        )

    def _max_tokens(self) -> Iterator[Advice]:
        for family in self._course.families:
            rule = self._segment(family)
            if rule.max_tokens is not None and family.split_parts:
                parts, whole = len(family.split_parts), len(family.all_parts)
                sentence = (
                    f"max_tokens = {rule.max_tokens} splits {parts} of the {whole} parts of `{family.name}`, one of "
                    f"them into {family.most_blocks} blocks. They are read apart from each other in block modes."
                )
                yield Advice("max_tokens", family.name, sentence, place=self._place(family, "max_tokens"))

    def _hidden_live(self) -> Iterator[Advice]:
        """A live rule that takes something which the observation never shows."""
        rules = self._course.game.live_rules
        if not rules or not self._course.used_rules & set(range(len(rules))):
            return
        file = self._course.game.folder / "observation.md"
        if file.is_file() and "live" not in file.read_text(encoding="utf-8-sig"):
            yield Advice(
                "hidden_live",
                "observation.md",
                "There are live rules, and observation.md shows nothing of `live`: no agent ever sees what they take. "
                "Print it, as {{ live.clock }}, or remove them.",
                place=str(file),
            )

    def _few(self) -> Advice:
        return Advice(
            "few",
            str(self._course.file.file),
            f"{'1 frame is' if self._num_frames == 1 else f'{self._num_frames} frames are'} too few to say what "
            "changes often. Record a match with `hotseat serve --record`, or write more states.",
        )

    def _game_warnings(self) -> Iterator[Advice]:
        for warning in self._course.game.warnings:
            yield Advice("warning", self._course.game.name, warning)

    def _state_warnings(self) -> Iterator[Advice]:
        for number, warning in self._course.warnings:
            if not warning.startswith("No rule in game.toml takes"):  # said above, with its figures
                yield Advice("warning", f"frame {number}", f"Frame {number}: {warning}")

    # Looking things up.

    def _segment(self, family: Family) -> SegmentRule:
        return self._course.game.cutting.segment(family.rule)

    def _place(self, family: Family, key: str = "match") -> str | None:
        if family.is_rest:
            return None
        return _place_of(self._tables.segments[family.rule - self._course.game.cutting.num_live].place(key))

    def _worth(self, before: float, after: float) -> bool:
        return before - after >= max(_WORTH_TOKENS, _WORTH_SHARE * before)


def _share(family: Family) -> str:
    if len(family.all_parts) == 1:
        return f"{family.changes} of {family.chances} frames"
    percent = 100 * family.changes / max(1, family.chances)
    return f"{percent:.0f} % of {family.chances} chances ({len(family.all_parts)} parts)"


def _place_of(place: tuple[Path, int | None]) -> str:
    file, line = place
    return f"{file}:{line}" if line is not None else str(file)


def _member(match: str) -> str:
    return "".join(f"[{json.dumps(step)}]" if isinstance(step, str) else "[...]" for step in parse_pattern(match))


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
