"""What `hotseat prompts check` found, for a terminal and for programs."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table
from rich.text import Text

from agent_runtime.designer.advice import Advice, Advices
from agent_runtime.designer.course import Costs, Course
from agent_runtime.designer.tokens import TokenCounter

REPORT_FORMAT = "hotseat.prompts"
REPORT_VERSION = 1

# So many names of blocks are shown in a frame's line.
_MOST_NAMES = 3


@dataclass(frozen=True, slots=True)
class PromptsReport:
    """A course and the advice on it."""

    course: Course
    advices: Advices
    counter: TokenCounter

    def as_json(self) -> dict[str, Any]:
        """Return all of it but the texts of the blocks."""
        course, num_frames = self.course, len(self.course.frames)
        after = self.advices.after
        return {
            "format": REPORT_FORMAT,
            "version": REPORT_VERSION,
            "game": course.game.name,
            "file": str(course.file.file),
            "sight": list(course.sight),
            "tokens": {
                "tokenizer": self.counter.name,
                "exact": self.counter.is_exact,
                "note": self.counter.note,
                "context": self.counter.context,
                "anchor": course.anchor_tokens,
                "personas": course.persona_tokens,
            },
            "blocks": [
                {
                    "name": block.name,
                    "rule": block.family,
                    "tokens": block.tokens,
                    "existed": block.existed(num_frames),
                    "changed": block.changed,
                    "could_have_changed": block.chances(num_frames),
                }
                for block in course.blocks
            ],
            "frames": [asdict(frame) for frame in course.frames],
            "costs": asdict(course.costs),
            "advice": [_advice_json(advice) for advice in self.advices.pieces],
            "costs_with_all_advice": None if after is None else asdict(after),
        }

    def summary(self) -> Iterator[str]:
        """The first lines: what was read, and what a turn costs."""
        course, costs = self.course, self.course.costs
        yield (
            f"{course.game.name}: {len(course.frames)} frame{'s' * (len(course.frames) > 1)} of "
            f"{course.file.file.name}, {len(course.blocks)} blocks, anchor {course.anchor_tokens} tokens"
            + "".join(f", persona {name} {tokens}" for name, tokens in course.persona_tokens.items())
        )
        yield self.counter.note or f"Tokens are those of {self.counter.name}, chat markers included."
        if course.sight:
            yield f"Under the sight {', '.join(course.sight)}."
        elif any(course.file.sights):
            listed = "; ".join(" ".join(sight) for sight in course.file.sights if sight)
            yield f"Nothing is hidden here; sessions of this recording saw less. Name one with --sight: {listed}"
        yield (
            f"A turn at each frame, with an empty observation, computes {costs.blocks_mode:,.0f} tokens in star or "
            f"anchored and {costs.prefix_mode:,.0f} in prefix, of {costs.prompt:,.0f} (means behind the first frame)."
        )

    def blocks_table(self) -> Table:
        """A line for each block, in the order of the prompt."""
        num_frames = len(self.course.frames)
        table = Table("block", *("tokens", "existed", "changed", "of"), box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for column in table.columns[1:]:
            column.justify = "right"
        table.columns[0].overflow = "ellipsis"
        table.columns[0].no_wrap = True
        for block in self.course.blocks:
            figures = (block.tokens, block.existed(num_frames), block.changed, block.chances(num_frames))
            table.add_row(Text(block.name), *map(str, figures))
        return table

    def frames_table(self) -> Table:
        """A line for each frame."""
        table = Table(
            *("frame", "blocks", "star", "prefix", "prompt", "changed"), box=None, pad_edge=False, padding=(0, 2, 0, 0)
        )
        for column in table.columns[:5]:
            column.justify = "right"
        table.columns[5].overflow = "ellipsis"
        table.columns[5].no_wrap = True
        for frame in self.course.frames:
            did = [
                f"{sign}{len(names)} {_named(names)}"
                for sign, names in (("+", frame.added), ("~", frame.replaced), ("-", frame.removed))
                if names
            ]
            figures = (frame.number, frame.num_blocks, frame.blocks_mode, frame.prefix_mode, frame.prompt)
            table.add_row(*map(str, figures), Text("  ".join(did) or "nothing"))
        return table

    def advice_lines(self) -> Iterator[str]:
        """The advice, each piece with what to write and what it would save."""
        for number, advice in enumerate(self.advices.pieces, 1):
            place = f"{advice.place}: " if advice.place else ""
            yield f"{number}. {place}{advice.sentence}"
            yield from (f"       {line}" for line in (advice.toml or "").splitlines())
            if advice.before is not None and advice.after is not None:
                yield f"     {saving(advice.before, advice.after)}"
        if self.advices.after is not None:
            yield f"All that has figures, together: {saving(self.advices.before, self.advices.after)}"
        if not self.advices.pieces:
            yield "There is nothing to advise."


def saving(before: Costs, after: Costs) -> str:
    """What a change does to the tokens of a turn."""
    pairs = (
        ("star", before.blocks_mode, after.blocks_mode),
        ("prefix", before.prefix_mode, after.prefix_mode),
        ("prompt", before.prompt, after.prompt),
        ("blocks", before.num_blocks, after.num_blocks),
    )
    return "a turn then: " + ", ".join(f"{name} {old:,.0f} -> {new:,.0f}" for name, old, new in pairs)


def _named(names: Sequence[str]) -> str:
    more = f", {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"({', '.join(names[:_MOST_NAMES])}{more})"


def _advice_json(advice: Advice) -> dict[str, Any]:
    return {name: each for name, each in asdict(advice).items() if each is not None}
