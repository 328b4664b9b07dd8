"""What the frames of a file did to the blocks of a game: which came, changed and went, and what a turn each would cost.

`following` writes it down, `reckoning` says how the tokens are counted.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from agent_runtime.designer.frames import Frames
from prompts import Game

Pointer = tuple[str, ...]


def pointer_step(label: str) -> str:
    """One step of a JSON Pointer."""
    return "/" + label.replace("~", "~0").replace("/", "~1")


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
    block of it came, changed or went. `kinds` are the same parts by the member of the state that they lie in, where the
    rule names none of them (`/*`): these have nothing in common but the rule, and an average over them says little.
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
    kinds: "dict[str, Family]" = field(default_factory=dict)

    def take(self, labels: tuple[str, ...], text: str, tokens: int, num_blocks: int) -> bool:
        """Count a part as it is in one more frame; return whether it came or changed."""
        before = self.parts.get(labels)
        self.parts[labels] = text
        self.part_frames += 1
        self.part_tokens += tokens
        self.most_blocks = max(self.most_blocks, num_blocks)
        if num_blocks > 1:
            self.split_parts.add(labels)
        if before is None:
            self.all_parts.add(labels)
            return True
        self.chances += 1
        self.changes += before != text
        return before != text

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
