"""The frames of a file taken one after another, and all written down that becomes of the blocks."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence

from agent_runtime.designer.course import BlockCourse, Course, Family, FrameCost, Pointer, Version, pointer_step
from agent_runtime.designer.frames import Frames
from agent_runtime.designer.reckoning import Runner
from agent_runtime.designer.tokens import TokenCounter
from agent_runtime.turn import Json
from prompts import Block, Game
from prompts.json_text import canonical, label_text
from prompts.pattern import Wild
from prompts.state_blocks import BlockChange, Cut

# Different sets of members that changed together, for each family.
_MOST_SETS = 2000
_WILD = [step.value for step in Wild]


def follow(game: Game, file: Frames, counter: TokenCounter, sight: Sequence[str] = ()) -> Course:
    """Take all frames of a file and write down what they do. Raises BadStates."""
    return _Follower(game, file, counter, sight).follow()


class _Follower:
    def __init__(self, game: Game, file: Frames, counter: TokenCounter, sight: Sequence[str]) -> None:
        self._game, self._file, self._counter, self._sight = game, file, counter, tuple(sight)
        self._runner = Runner(game, file, counter, sight)
        self._blocks: dict[str, BlockCourse] = {}
        self._order: list[str] = []
        self._families: dict[str, Family] = {}
        self._used: set[int] = set()
        self._is_object = isinstance(file.frames[-1].state, dict)

    def follow(self) -> Course:
        costs: list[FrameCost] = []
        warnings: list[tuple[int, str]] = []
        beyond: tuple[int, int, tuple[str, ...]] | None = None
        for index, (cost, change) in enumerate(self._runner.run()):
            self._take_cuts(index)
            self._take_change(index, change)
            warnings += [(cost.number, sentence) for sentence in change.warnings]
            limit = self._counter.context
            if limit is not None and cost.prompt > limit and beyond is None:
                beyond = cost.number, cost.prompt, tuple(self._names_beyond(limit - cost.observation))
            costs.append(cost)
        game, count = self._game, self._counter.count
        return Course(
            game=game,
            file=self._file,
            sight=self._sight,
            anchor_tokens=self._runner.anchor_tokens,
            persona_tokens={name: count(block.text) for name, block in game.personas.items()},
            frames=tuple(costs),
            blocks=tuple(self._blocks[name] for name in self._order),
            families=tuple(self._families.values()),
            used_rules=frozenset(self._used),
            warnings=tuple(warnings),
            beyond=beyond,
        )

    def _names_beyond(self, room: int) -> Iterator[str]:
        end = self._runner.anchor_tokens
        for block in self._runner.state.blocks:
            end += self._runner.tokens[block.name]
            if end > room:
                yield block.name

    def _take_change(self, index: int, change: BlockChange) -> None:
        for name in change.removed:
            self._blocks[name].versions.append(Version(index, None, 0))
        fresh = {block.name: block for block in change.fresh}
        if change.added:
            self._take_names()
        for name, block in fresh.items():
            self._blocks[name].versions.append(Version(index, block.text, self._runner.tokens[name]))

    def _take_names(self) -> None:
        """Rows for blocks that are new, each beside the one that it stands beside in the prompt."""
        family_of = {block.name: family.name for family, cut in self._cuts() for block in _under_all_names(cut.blocks)}
        places = {name: place for place, name in enumerate(self._order)}
        behind: dict[int, list[str]] = {}
        before = -1
        first: list[str] = []
        for block in self._runner.state.blocks:
            place = places.get(block.name)
            if place is None:
                (behind.setdefault(before, []) if before >= 0 else first).append(block.name)
                self._blocks[block.name] = BlockCourse(block.name, family_of.get(block.name, block.name))
            else:
                if before < 0 and first:  # right before the first that is known
                    behind[place - 1], first = first, []
                before = max(before, place)
        order = first or behind.get(-1, [])
        for place, name in enumerate(self._order):
            order += [name, *behind.get(place, ())]
        self._order = order

    def _cuts(self) -> Iterator[tuple[Family, Cut]]:
        rules = self._game.cutting
        for cut in self._runner.state.cuts:
            self._used.add(cut.rule)
            if cut.rule < rules.num_live:
                continue
            rule = rules.segment(cut.rule)
            is_rest = rules.is_rest(cut.rule)
            name = (
                rule.name(cut.labels) if is_rest else "".join(p if isinstance(p, str) else "*" for p in rule.name_parts)
            )
            key = f"{cut.rule} {name}"
            family = self._families.get(key)
            if family is None:
                match = "".join(map(pointer_step, cut.labels)) if is_rest else rule.match
                family = self._families[key] = Family(name, cut.rule, match, is_rest)
            yield family, cut

    def _take_cuts(self, index: int) -> None:
        """What became of every part that a rule took, compared with the frame before."""
        seen: defaultdict[int, set[tuple[str, ...]]] = defaultdict(set)
        touched: set[int] = set()
        for family, cut in self._cuts():
            before = family.parts.get(cut.labels)
            tokens = sum(self._runner.tokens.get(block.name, 0) for block in cut.blocks)
            where: frozenset[Pointer] | None = None
            if before is not None and before != cut.text and len(family.sets) < _MOST_SETS:
                where = frozenset(_differences(json.loads(before), json.loads(cut.text)))
            for each in (family, *self._kind(family, cut)):
                seen[id(each)].add(cut.labels)
                if each.take(cut.labels, cut.text, tokens, len(cut.blocks)):
                    touched.add(id(each))
                if where is not None:
                    each.sets[where] += 1
        for family in self._families.values():
            for each in (family, *family.kinds.values()):
                for labels in each.parts.keys() - seen[id(each)]:
                    del each.parts[labels]
                    touched.add(id(each))
                each.frames_changed += index > 0 and id(each) in touched

    def _kind(self, family: Family, cut: Cut) -> Iterator[Family]:
        """Yield the parts in the same member of the state, where their rule begins with a `*`."""
        rule = self._game.cutting.segment(cut.rule)
        is_named = not rule.pattern or rule.pattern[0] is not Wild.ONE
        # An array's members are alike, and so is what a rule takes of each.
        if family.is_rest or is_named or not self._is_object or cut.labels[0] in _WILD:
            return
        first = cut.labels[0]
        if first not in family.kinds:
            match = pointer_step(first) + rule.match.removeprefix("/*")
            parts = [part if isinstance(part, str) else "*" if part else label_text(first) for part in rule.name_parts]
            name = "".join(parts) if 0 in rule.name_parts else match.removeprefix("/")
            family.kinds[first] = Family(name, cut.rule, match, False)
        yield family.kinds[first]


def _under_all_names(blocks: Sequence[Block]) -> Iterator[Block]:
    """Blocks under their own name, and under that which they get where two have the same."""
    for block in blocks:
        yield block
        yield Block(f"{block.name} at {block.text.partition(chr(10))[0]}", block.text, block.role, block.lifetime)


def _differences(before: Json, after: Json, at: Pointer = ()) -> Iterator[Pointer]:
    """Where two values differ: the paths of members of objects; what is no object on both sides differs as a whole."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in before.keys() | after.keys():
            if name not in before or name not in after:
                yield (*at, name)
            else:
                yield from _differences(before[name], after[name], (*at, name))
    elif canonical(before) != canonical(after):
        yield at
