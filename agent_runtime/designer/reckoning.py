"""What a turn would cost at every frame of a file, in tokens.

A turn is reckoned at every frame, of one session, with an empty observation and no answers, and every block is kept
that was ever encoded. In `star` and `anchored` it computes the texts that are new and the observation. In `prefix` it
computes all behind the longest beginning, in whole blocks, that an earlier prompt had as well.
"""

from collections.abc import Iterator, Sequence

from agent_runtime.designer.course import Costs, FrameCost, mean_costs
from agent_runtime.designer.errors import BadStates
from agent_runtime.designer.frames import Frame, Frames
from agent_runtime.designer.tokens import TokenCounter
from prompts import Game, PromptsError, StateBlocks
from prompts.errors import TemplateFailed
from prompts.json_text import canonical
from prompts.rendering import render
from prompts.state_blocks import BlockChange

# Beginnings of prompts that are remembered; more than any pool holds.
_MOST_BEGINNINGS = 500_000


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


def costs_under(game: Game, file: Frames, counter: TokenCounter, sight: Sequence[str] = ()) -> Costs:
    """What the same frames would cost under other rules. Raises BadStates."""
    return mean_costs([cost for cost, _ in Runner(game, file, counter, sight).run()])
