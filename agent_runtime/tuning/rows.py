"""Packed training rows, made of the very spans that the engine would compute.

A sample in a mode is a list of engine spans whose kept runs are places in the row: a block is encoded at its own local
positions, what it sees is its view, and what is asked sees all blocks moved to their places. From these spans alone
follows, for every token of the row, where its key stands (`place`), where its query stands as it looks at its view
(`local`), and which tokens its view holds. So training attends exactly as the engine does.

Shapes: T tokens of a row.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy

from agent_runtime.engine.positions import Positions
from agent_runtime.engine.runs import Run
from agent_runtime.engine.span import NOTHING, Placed, Span, View, view_of_blocks
from agent_runtime.tuning.errors import NotTrainable
from agent_runtime.turn import Mode

Ids = tuple[int, ...]
IGNORED = -100
TRAINED_MODES = (Mode.FULL, Mode.STAR, Mode.ANCHORED)


@dataclass(frozen=True, slots=True)
class TokenAsk:
    """A prompt's end up to where the answer begins, and the answers, each with its end-of-turn token.

    Several answers are those that are decided among. Each is alone behind the prompt, which is computed once.
    `divisors` are what the answers' log-probabilities are divided by before they are compared, 1 if there are none.
    """

    observation: Ids
    answers: tuple[Ids, ...]
    divisors: tuple[int, ...] = ()

    @property
    def num_tokens(self) -> int:
        """Return the tokens that it takes in a row, behind its blocks."""
        return len(self.observation) - 1 + sum(map(len, self.answers))

    @property
    def num_positions(self) -> int:
        """Return the positions that it takes behind its blocks: answers begin at the same one."""
        return len(self.observation) - 1 + max(map(len, self.answers))


@dataclass(frozen=True, slots=True)
class TokenSample:
    """Blocks, the anchor first, and what is asked behind them, each alone."""

    blocks: tuple[Ids, ...]
    asks: tuple[TokenAsk, ...]

    @property
    def num_tokens(self) -> int:
        """Return the tokens that the sample takes in a row."""
        return sum(map(len, self.blocks)) + sum(ask.num_tokens for ask in self.asks)

    @property
    def num_positions(self) -> int:
        """Return the positions that a model needs for it: asks begin at the same one, behind the blocks as one text."""
        return sum(map(len, self.blocks)) + max((ask.num_positions for ask in self.asks), default=0)


@dataclass(frozen=True, slots=True)
class Room:
    """What there is for a sample: a row's tokens, and `context` positions of the model."""

    row_tokens: int
    context: int

    def holds(self, sample: TokenSample) -> bool:
        """Whether a sample fits."""
        return sample.num_tokens <= self.row_tokens and sample.num_positions <= self.context

    def advice(self, left_out: Sequence[TokenSample]) -> str:
        """Say why samples do not fit, by how much, and what to do about it."""
        reasons = []
        if tokens := [each.num_tokens for each in left_out if each.num_tokens > self.row_tokens]:
            held = f"a row holds {self.row_tokens} tokens, and they have {min(tokens)} to {max(tokens)}"
            reasons.append(f"{held} (make rows longer: training.row_tokens)")
        if positions := [each.num_positions for each in left_out if each.num_positions > self.context]:
            held = f"the model has {self.context} positions, and they need {min(positions)} to {max(positions)}"
            reasons.append(f"{held} (extend its context: model.context)")
        return "; ".join(reasons)


@dataclass(frozen=True, slots=True)
class Row:
    """Tokens one behind the other, each array [T], int64. `label` is the token to be predicted there, or IGNORED.

    A token sees its span, which begins at `own_from`, up to itself, its view, from `seen_from` up to `seen_to`, and the
    prompt that several answers share, from `asked_from` up to `asked_to`. `is_anchor` is 1 where the anchor is.
    `document` numbers the samples of the row (-1: padding) and `ask` the asks of a document (-1: none). `divisor` is
    that of the answer that is predicted from a token.
    """

    ids: numpy.ndarray
    place: numpy.ndarray
    local: numpy.ndarray
    own_from: numpy.ndarray
    seen_from: numpy.ndarray
    seen_to: numpy.ndarray
    asked_from: numpy.ndarray
    asked_to: numpy.ndarray
    is_anchor: numpy.ndarray
    label: numpy.ndarray
    document: numpy.ndarray
    ask: numpy.ndarray
    divisor: numpy.ndarray

    @property
    def is_doubled(self) -> bool:
        """Whether some token looks at its view from another place than the one where others see it.

        Such a view is the anchor: rows in which it is more are refused.
        """
        return bool(((self.place != self.local) & (self.seen_from < self.seen_to)).any())

    @property
    def is_shared(self) -> bool:
        """Whether several answers stand behind one prompt."""
        return bool((self.asked_from < self.asked_to).any())


@dataclass(frozen=True, slots=True)
class Asked:
    """A span of the ask with a number, and the answer that it ends in: none if several answers stand behind it."""

    span: Span
    ask: int
    answer: Ids = ()
    divisor: int = 1


def spans_of(
    sample: TokenSample, mode: Mode, positions: Positions = Positions.SEQUENTIAL
) -> tuple[list[Span], list[Asked]]:
    """Return the spans that encode a sample's blocks, and those of its asks; runs are places in a row of their own.

    `positions` is where blocks stand in block modes; in full mode they are one text.
    An answer's last token is no input: nothing is predicted behind it. Raises NotTrainable for `prefix`, which is
    `full` with another cache.
    """
    if mode not in TRAINED_MODES:
        raise NotTrainable(f"mode {mode} computes what `full` does. Tune for {', '.join(TRAINED_MODES)}.")
    blocks = [tuple(chain.from_iterable(sample.blocks))] if mode is Mode.FULL else list(sample.blocks)
    static: list[Span] = []
    runs: list[Run] = []
    first, view = 0, NOTHING
    for ids in blocks:
        run = Run(((first, len(ids)),), len(ids))
        static.append(Span(ids, view.length, view, keep=run))
        runs.append(run)
        first += len(ids)
        if mode is Mode.ANCHORED and len(runs) == 1:
            view = View((Placed(run, 0),))
    everything = view_of_blocks(runs, anchored=mode is Mode.ANCHORED, positions=positions)
    return static, [asked for number, ask in enumerate(sample.asks) for asked in _asked(ask, number, everything)]


def _asked(ask: TokenAsk, number: int, view: View) -> list[Asked]:
    """Return one span that ends in the only answer, or one that the spans of several answers have as their parent.

    The prompt's last token predicts an answer's first one, so it stands in the span of each.
    """
    divisors = ask.divisors or (1,) * len(ask.answers)
    if len(ask.answers) == 1:
        [answer], [divisor] = ask.answers, divisors
        return [Asked(Span((*ask.observation, *answer[:-1]), view.behind, view), number, answer, divisor)]
    *shared, last = ask.observation
    parent = Span(tuple(shared), view.behind, view) if shared else None
    start = view.behind + len(shared)
    answered = [
        Asked(Span((last, *answer[:-1]), start, view, parent=parent), number, answer, divisor)
        for answer, divisor in zip(ask.answers, divisors, strict=True)
    ]
    return answered if parent is None else [Asked(parent, number), *answered]


def row_of(sample: TokenSample, mode: Mode, positions: Positions = Positions.SEQUENTIAL) -> Row:
    """Return a sample as a row of its own (document 0). Raises NotTrainable."""
    static, asked = spans_of(sample, mode, positions)
    spans = [*static, *(each.span for each in asked)]
    lengths = numpy.array([len(span.ids) for span in spans])
    total = int(lengths.sum())
    num_static = int(lengths[: len(static)].sum())
    begins = numpy.cumsum(lengths) - lengths
    starts = numpy.array([span.start for span in spans])
    local = numpy.arange(total) + numpy.repeat(starts - begins, lengths)
    label = numpy.full(total, IGNORED)
    stop = num_static
    for each in asked:
        stop += len(each.span.ids)
        label[stop - len(each.answer) : stop] = each.answer
    views = _views(spans)
    seen_of = {number: _seen(view) for number, view in views.items()}
    seen = numpy.array([seen_of[id(span.view)] for span in spans])
    begin_of = {id(span): int(begin) for span, begin in zip(spans, begins, strict=True)}
    shared = numpy.array([_shared(span.parent, begin_of) for span in spans])
    row = Row(
        ids=numpy.fromiter(chain.from_iterable(span.ids for span in spans), numpy.int64, total),
        place=_places(views.values(), local),
        local=local,
        own_from=numpy.repeat(begins, lengths),
        seen_from=numpy.repeat(seen[:, 0], lengths),
        seen_to=numpy.repeat(seen[:, 1], lengths),
        asked_from=numpy.repeat(shared[:, 0], lengths),
        asked_to=numpy.repeat(shared[:, 1], lengths),
        is_anchor=(numpy.arange(total) < len(sample.blocks[0])).astype(numpy.int64),
        label=label,
        document=numpy.zeros(total, dtype=numpy.int64),
        ask=numpy.repeat(numpy.array([-1] * len(static) + [each.ask for each in asked]), lengths),
        divisor=numpy.repeat(numpy.array([1] * len(static) + [each.divisor for each in asked]), lengths),
    )
    moved = row.place != row.local
    if (row.seen_to[moved] > len(sample.blocks[0])).any():
        raise NotTrainable("a block that stands elsewhere than where it was encoded sees more than the anchor.")
    return row


def _shared(parent: Span | None, begin_of: Mapping[int, int]) -> tuple[int, int]:
    """Return the interval of a parent's tokens in the row; `begin_of` is by the identity of spans."""
    if parent is None:
        return 0, 0
    return begin_of[id(parent)], begin_of[id(parent)] + len(parent.ids)


def _views(spans: Sequence[Span]) -> dict[int, View]:
    """Return the views of spans, each object once: a view of many blocks takes long to compare with another."""
    return {id(span.view): span.view for span in spans}


def _places(views: Iterable[View], local: numpy.ndarray) -> numpy.ndarray:
    """Where the views put every token; what no view shows stays at its local position.

    In a row every token has one key, so all views have to agree about its place. Raises NotTrainable.
    """
    place = local.copy()
    is_placed = numpy.zeros(len(local), dtype=bool)
    for view in views:
        put = local[view.slots] + view.shifts
        if (is_placed[view.slots] & (place[view.slots] != put)).any():
            raise NotTrainable("two views of one sample put a block at different places. Pack them as two samples.")
        place[view.slots] = put
        is_placed[view.slots] = True
    return place


def _seen(view: View) -> tuple[int, int]:
    """Return the tokens of a view as the interval that they are in the row. Raises NotTrainable if they are none."""
    if not view.length:
        return 0, 0
    first = int(view.slots[0])
    if not numpy.array_equal(view.slots, numpy.arange(first, first + view.length)):
        raise NotTrainable("a view holds blocks that do not lie one behind the other.")
    return first, first + view.length
