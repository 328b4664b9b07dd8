"""What a model answers to samples, under several conditions, through the same packed rows that tuning uses.

A question is right if the most likely token is the target's at every place, end of turn included: that is what greedy
decoding would write. A decision is right if the target, or an action that is as right, has the highest probability of
the listed actions, as the runtime decides in a game whose `length_normalised` is false: samples say nothing about it.
Every condition answers the same items, in the same rows.

Shapes: B rows, T tokens, N predicted tokens, V vocabulary.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy
import torch

from agent_runtime.engine.loading import LoadedModel
from agent_runtime.engine.rope import RotaryTable
from agent_runtime.engine.text import TextEncoder
from agent_runtime.tuning.attention import Planner
from agent_runtime.tuning.evaluating.conditions import Condition
from agent_runtime.tuning.packing import Batch, batch_of, joined
from agent_runtime.tuning.rows import Row, TokenSample, row_of
from agent_runtime.tuning.samples import Ask, Sample
from agent_runtime.tuning.student import Student, wanted_of
from agent_runtime.tuning.tokens import in_tokens


@dataclass(frozen=True, slots=True)
class Item:
    """One ask of one sample, answered under every condition. `sample` and `ask` are numbers, `num_blocks` the state's.

    `right` follows the conditions; `legal_mass`, of a decision, is the probability of all listed actions together.
    """

    sample: int
    ask: int
    family: str
    kind: str
    num_blocks: int
    chance: float
    right: tuple[bool, ...]
    legal_mass: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Needs:
    """What a sample needs to be answered: the tokens that a row holds at least, and positions of the model."""

    row_tokens: int
    positions: int


class Scorer:
    """Answers samples with one model, in rows of at most `row_tokens`.

    Asks of a sample stand side by side behind its blocks, so a row may hold more tokens than the model has positions.
    For a GPU samples share rows, which are padded to that length, so that layers are compiled once. On a CPU each has a
    row of its own length: there every pair of tokens of a row costs time.
    """

    def __init__(self, loaded: LoadedModel, conditions: Sequence[Condition], row_tokens: int) -> None:
        self.conditions = tuple(conditions)
        self._row_tokens = row_tokens
        self._context = loaded.context_limit
        self._text = loaded.text
        self._positions = loaded.positions
        self._student = Student(loaded.model)
        self._device = loaded.device
        rope = RotaryTable(loaded.model.get_decoder().rotary_emb.inv_freq, loaded.context_limit)
        self._planner = Planner(rope, loaded.device)

    def score(self, samples: Iterable[Sample], too_long: Callable[[int, Needs], None]) -> Iterator[Item]:
        """Yield the items of `samples`, in their order.

        A sample whose asks no row holds together has its blocks in as many rows as it takes. One of which an ask does
        not fit behind the blocks, in a row or in the model's context, is left out: `too_long` hears its number and what
        it needs.
        """
        with nullcontext() if self._device.type == "cpu" else self._student.compiled_layers():
            yield from self._score(samples, too_long)

    def _score(self, samples: Iterable[Sample], too_long: Callable[[int, Needs], None]) -> Iterator[Item]:
        waiting: list[_Expanded] = []
        for number, sample in enumerate(samples):
            expanded = _expanded(number, sample, self._text)
            needs = expanded.needs
            if needs.row_tokens > self._row_tokens or needs.positions > self._context:
                too_long(number, needs)
                continue
            for piece in expanded.pieces(self._row_tokens):
                total = sum(each.tokens.num_tokens for each in [*waiting, piece])
                if waiting and (total > self._row_tokens or not self._is_packed()):
                    yield from self._answered(waiting)
                    waiting = []
                waiting.append(piece)
        if waiting:
            yield from self._answered(waiting)

    def _is_packed(self) -> bool:
        return self._device.type != "cpu"

    @torch.inference_mode()
    def _answered(self, packed: Sequence["_Expanded"]) -> Iterator[Item]:
        """Answer one row of samples under all conditions."""
        scores = []
        length = self._row_tokens if self._is_packed() else sum(each.tokens.num_tokens for each in packed)
        for condition in self.conditions:
            rows = [row_of(each.tokens, condition.mode, self._positions) for each in packed]
            if not condition.moved:
                rows = [_not_moved(row) for row in rows]
            batch = batch_of([joined(rows, length)]).to(self._device)
            scores.append(self._scores(batch))
        first = 0
        for each in packed:
            count = sum(len(ask.answers) for ask in each.tokens.asks)
            yield from each.items([part[first : first + count] for part in scores])
            first += count

    def _scores(self, batch: Batch) -> list["_Score"]:
        """Return the score of every answer of a row, in its order."""
        wanted_N = wanted_of(batch)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._device.type == "cuda"):
            logits_NV = self._student(batch.ids, self._planner.plan(batch), wanted_N)
        labels_N = batch.label.flatten().index_select(0, wanted_N)
        logprob_N = logits_NV.log_softmax(-1).gather(-1, labels_N[:, None])[:, 0].double().cpu().numpy()
        hit_N = (logits_NV.argmax(-1) == labels_N).cpu().numpy()
        starts = numpy.flatnonzero(numpy.diff(batch.action.cpu().numpy(), prepend=-1))
        all_hit = numpy.logical_and.reduceat(hit_N, starts)
        total = numpy.add.reduceat(logprob_N, starts)
        return [_Score(bool(hit), float(logprob)) for hit, logprob in zip(all_hit, total, strict=True)]


@dataclass(frozen=True, slots=True)
class _Score:
    """Whether every token of an answer is the most likely one, and the answer's log-probability."""

    is_greedy: bool
    logprob: float


@dataclass(frozen=True, slots=True)
class _Expanded:
    """Asks of a sample, from the one numbered `first`, with all actions of those that are decisions."""

    number: int
    sample: Sample
    tokens: TokenSample
    first: int = 0

    @property
    def needs(self) -> Needs:
        """Return the tokens of the blocks with the longest ask behind them, and the sample's positions."""
        longest = max((ask.num_tokens for ask in self.tokens.asks), default=0)
        return Needs(self._block_tokens() + longest, self.tokens.num_positions)

    def pieces(self, limit: int) -> Iterator["_Expanded"]:
        """Yield the same asks, in their order, as pieces of at most `limit` tokens, which `needs` are."""
        blocks, begin, total = self._block_tokens(), 0, self._block_tokens()
        for number, ask in enumerate(self.tokens.asks):
            if total + ask.num_tokens > limit:
                yield self._piece(begin, number)
                begin, total = number, blocks
            total += ask.num_tokens
        yield self._piece(begin, len(self.tokens.asks))

    def _piece(self, begin: int, end: int) -> "_Expanded":
        tokens = replace(self.tokens, asks=self.tokens.asks[begin:end])
        sample = replace(self.sample, asks=self.sample.asks[begin:end])
        return _Expanded(self.number, sample, tokens, begin)

    def _block_tokens(self) -> int:
        return sum(map(len, self.tokens.blocks))

    def items(self, scores: Sequence[Sequence[_Score]]) -> Iterator[Item]:
        """Yield the sample's items from the scores of all answers under each condition."""
        stop = 0
        for number, (ask, tokens) in enumerate(zip(self.sample.asks, self.tokens.asks, strict=True), self.first):
            begin, stop = stop, stop + len(tokens.answers)
            found = [each[begin:stop] for each in scores]
            if ask.actions:
                right = tuple(_best(ask.actions, each) in (ask.target, *ask.also) for each in found)
                mass = tuple(float(numpy.exp([score.logprob for score in each]).sum()) for each in found)
            else:
                right, mass = tuple(each[0].is_greedy for each in found), None
            blocks = len(self.sample.blocks)
            yield Item(self.number, number, self.sample.family, ask.kind, blocks, ask.chance, right, mass)


def _best(actions: Sequence[str], scores: Sequence[_Score]) -> str:
    return max(zip(actions, scores, strict=True), key=lambda pair: pair[1].logprob)[0]


def _expanded(number: int, sample: Sample, text: TextEncoder) -> _Expanded:
    return _Expanded(number, sample, in_tokens(sample, text, _answers))


def _answers(ask: Ask) -> tuple[str, ...]:
    """What the probabilities are asked of."""
    return ask.actions or (ask.target,)


def _not_moved(row: Row) -> Row:
    return replace(row, place=row.local)
