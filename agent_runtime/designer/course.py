"""What the frames of a file do to the blocks of a game: which came, changed and went, and what a turn each would cost.

A turn is reckoned at every frame, of one session, with an empty observation and no answers, and every block is kept
that was ever encoded. In `star` and `anchored` it computes the texts that are new and the observation. In `prefix` it
computes all behind the longest beginning, in whole blocks, that an earlier prompt had as well.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from agent_runtime.designer.errors import BadStates
from agent_runtime.designer.frames import Frame, Frames
from agent_runtime.designer.tokens import TokenCounter
from agent_runtime.turn import Json
from prompts import Block, Game, PromptsError, StateBlocks
from prompts.errors import TemplateFailed
from prompts.json_text import canonical
from prompts.rendering import render
from prompts.state_blocks import BlockChange, Cut

# Beginnings of prompts that are remembered; more than any pool holds.
_MOST_BEGINNINGS = 500_000
# Different sets of members that changed together, for each family.
_MOST_SETS = 2000

Pointer = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FrameCost:
    """One frame: what it did to the blocks, and the tokens of a turn at it.

    `prompt` counts the anchor, the state's blocks and the observation; `blocks_mode` and `prefix_mode` what is
    computed.
    """

    number: int
    num_blocks: int
    added: tuple[str, ...]
    replaced: tuple[str, ...]
    removed: tuple[str, ...]
    prompt: int
    observation: int
    blocks_mode: int
    prefix_mode: int


@dataclass(frozen=True, slots=True)
class Costs:
    """The tokens of a turn, on the average of the frames behind the first."""

    blocks_mode: float
    prefix_mode: float
    prompt: float
    observation: float
    num_blocks: float


@dataclass(frozen=True, slots=True)
class Version:
    """What a block says from one frame on (its index); None once it is gone."""

    since: int
    text: str | None
    tokens: int


@dataclass(slots=True)
class BlockCourse:
    """One block's way through the frames, under one name."""

    name: str
    family: str
    versions: list[Version] = field(default_factory=list)

    def existed(self, num_frames: int) -> int:
        """In how many frames it was there."""
        ends = [*(version.since for version in self.versions[1:]), num_frames]
        return sum(
            end - version.since for version, end in zip(self.versions, ends, strict=True) if version.text is not None
        )

    @property
    def changed(self) -> int:
        """In how many frames it said something else than in the one before."""
        pairs = zip(self.versions, self.versions[1:], strict=False)
        return sum(before.text is not None and after.text is not None for before, after in pairs)

    def chances(self, num_frames: int) -> int:
        """In how many frames it could have changed: it was there, and in the one before as well."""
        begins = sum(version.text is not None for version in self.versions) - self.changed
        return self.existed(num_frames) - begins

    @property
    def tokens(self) -> int:
        """Its tokens when it was there last."""
        return next(version.tokens for version in reversed(self.versions) if version.text is not None)


@dataclass(slots=True)
class Family:
    """The blocks of one rule, or one member of the state that no rule takes. Parts are what the rule takes whole.

    `sets` counts which members, as pointers within a part, changed together; `frames_changed` the frames in which any
    block of it came, changed or went.
    """

    name: str
    rule: int
    match: str
    is_rest: bool
    parts: dict[tuple[str, ...], str] = field(default_factory=dict)
    all_parts: set[tuple[str, ...]] = field(default_factory=set)
    part_frames: int = 0
    part_tokens: int = 0
    chances: int = 0
    changes: int = 0
    frames_changed: int = 0
    most_blocks: int = 0
    split_parts: set[tuple[str, ...]] = field(default_factory=set)
    sets: Counter[frozenset[Pointer]] = field(default_factory=Counter)

    @property
    def tokens(self) -> float:
        """The tokens of one part, on the average."""
        return self.part_tokens / max(1, self.part_frames)

    def tokens_of_all(self, num_frames: int) -> float:
        """The tokens of all its blocks in a frame, on the average."""
        return self.part_tokens / num_frames


@dataclass(frozen=True, slots=True)
class Course:
    """All frames of a file under one game."""

    game: Game
    file: Frames
    sight: tuple[str, ...]
    anchor_tokens: int
    persona_tokens: dict[str, int]
    frames: tuple[FrameCost, ...]
    blocks: tuple[BlockCourse, ...]
    families: tuple[Family, ...]
    used_rules: frozenset[int]
    warnings: tuple[tuple[int, str], ...]
    beyond: tuple[int, int, tuple[str, ...]] | None

    @property
    def costs(self) -> Costs:
        """The averages."""
        return mean_costs(self.frames)


def mean_costs(frames: Sequence[FrameCost]) -> Costs:
    """The averages of the frames behind the first; of the first, if it is alone."""
    later = frames[1:] or frames
    return Costs(
        *(
            sum(getattr(frame, name) for frame in later) / len(later)
            for name in ("blocks_mode", "prefix_mode", "prompt", "observation", "num_blocks")
        )
    )


class Runner:
    """Takes frames, one after another, as a match would, and reckons what a turn costs at each."""

    def __init__(self, game: Game, file: Frames, counter: TokenCounter, sight: Sequence[str] = ()) -> None:
        self._game = game
        self._file = file
        self._counter = counter
        self.state = StateBlocks(game, counter.count, sight)
        self.anchor_tokens = counter.count_anchor(game.anchor.text)
        self.tokens: dict[str, int] = {}
        self._texts: set[str] = set()
        self._beginnings: set[int] = set()

    def run(self) -> Iterator[tuple[FrameCost, BlockChange]]:
        """Take every frame. Raises BadStates, which names the line."""
        for index, frame in enumerate(self._file.frames):
            try:
                # Neighbours share their objects, so that a whole state costs what it changes.
                change = self.state.patch((), frame.state) if index else self.state.replace(frame.state)
                yield self._cost(frame, change), change
            except PromptsError as error:
                raise BadStates(self._file.file, frame.line, f"frame {frame.number}: {error}") from error

    def _cost(self, frame: Frame, change: BlockChange) -> FrameCost:
        count = self._counter.count
        for name in change.removed:
            del self.tokens[name]
        for block in change.fresh:
            self.tokens[block.name] = count(block.text)
        observation = self._observation_tokens()
        new = sum(self.tokens[block.name] for block in change.fresh if block.text not in self._texts)
        if not self._texts:
            new += self.anchor_tokens
        self._texts.update(block.text for block in change.fresh)
        static = self.anchor_tokens + sum(self.tokens.values())
        return FrameCost(
            number=frame.number,
            num_blocks=len(self.state.blocks),
            added=change.added,
            replaced=change.replaced,
            removed=change.removed,
            prompt=static + observation,
            observation=observation,
            blocks_mode=new + observation,
            prefix_mode=static - self._kept_beginning() + observation,
        )

    def _kept_beginning(self) -> int:
        """The tokens of the longest beginning that an earlier prompt had."""
        if len(self._beginnings) > _MOST_BEGINNINGS:
            self._beginnings.clear()
        kept, is_kept, digest = 0, True, hash(self._game.anchor.text)
        if digest in self._beginnings:
            kept = self.anchor_tokens
        else:
            self._beginnings.add(digest)
            is_kept = False
        for block in self.state.blocks:
            digest = hash((digest, block.text))
            if is_kept and digest in self._beginnings:
                kept += self.tokens[block.name]
            else:
                is_kept = False
                self._beginnings.add(digest)
        return kept

    def _observation_tokens(self) -> int:
        """The tokens of an observation that says nothing of its own: what is live, and the markers around it."""
        live = self.state.live
        try:
            text = render(
                self._game.observation,
                "the observation",
                text="",
                live=live,
                actions=(),
                last_failure=None,
                persona=None,
            )
        except TemplateFailed:  # it counts on a text or an answer, and there is none here
            text = canonical(live)
        return self._counter.count_observation(f"{text}\n")


def follow(game: Game, file: Frames, counter: TokenCounter, sight: Sequence[str] = ()) -> Course:
    """Take all frames of a file and write down what they do. Raises BadStates."""
    return _Follower(game, file, counter, sight).follow()


def costs_under(game: Game, file: Frames, counter: TokenCounter, sight: Sequence[str] = ()) -> Costs:
    """What the same frames would cost under other rules. Raises BadStates."""
    return mean_costs([cost for cost, _ in Runner(game, file, counter, sight).run()])


class _Follower:
    def __init__(self, game: Game, file: Frames, counter: TokenCounter, sight: Sequence[str]) -> None:
        self._game, self._file, self._counter, self._sight = game, file, counter, tuple(sight)
        self._runner = Runner(game, file, counter, sight)
        self._blocks: dict[str, BlockCourse] = {}
        self._order: list[str] = []
        self._families: dict[str, Family] = {}
        self._used: set[int] = set()

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
        seen: dict[int, set[tuple[str, ...]]] = {id(family): set() for family in self._families.values()}
        touched: set[int] = set()
        tokens = self._runner.tokens
        for family, cut in self._cuts():
            seen.setdefault(id(family), set()).add(cut.labels)
            before = family.parts.get(cut.labels)
            family.part_frames += 1
            family.part_tokens += sum(tokens.get(block.name, 0) for block in cut.blocks)
            family.most_blocks = max(family.most_blocks, len(cut.blocks))
            if len(cut.blocks) > 1:
                family.split_parts.add(cut.labels)
            family.chances += before is not None
            if before is None:
                family.all_parts.add(cut.labels)
                touched.add(id(family))
            elif before is not cut.text and before != cut.text:
                family.changes += 1
                touched.add(id(family))
                if len(family.sets) < _MOST_SETS:
                    family.sets[frozenset(_differences(json.loads(before), json.loads(cut.text)))] += 1
            family.parts[cut.labels] = cut.text
        for family in self._families.values():
            for labels in family.parts.keys() - seen[id(family)]:
                del family.parts[labels]
                touched.add(id(family))
            family.frames_changed += index > 0 and id(family) in touched


def pointer_step(label: str) -> str:
    """One step of a JSON Pointer."""
    return "/" + label.replace("~", "~0").replace("/", "~1")


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
