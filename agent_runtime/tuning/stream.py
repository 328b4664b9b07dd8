"""Endless training batches from sources of samples, each batch a pure function of the seed and its number.

So a run that was interrupted goes on with the batch it would have come to, and any number of worker processes make
batches in parallel. A batch holds the same packed rows once for every trained mode, one mode after the other: token for
token the same, but for what each token sees and where it stands. What the modes answer can be compared place by place.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from agent_runtime.engine.positions import Positions
from agent_runtime.engine.text import TextEncoder
from agent_runtime.tuning.errors import NotTrainable
from agent_runtime.tuning.kept_texts import KeptTexts
from agent_runtime.tuning.packing import Batch, batch_of, joined
from agent_runtime.tuning.rows import Room, TokenSample, row_of
from agent_runtime.tuning.samples import Sample, sample_of
from agent_runtime.tuning.tokens import in_tokens
from agent_runtime.turn import Mode

# A source whose samples do not fit, this often in a row, has none that do.
_MOST_MISSES = 200
# A row is closed when this many samples in a row were too long for what is left of it.
_TRIES = 4


class Source(Protocol):
    """Where samples come from: number `index` (0 <= index < 2^31) is always the same one."""

    def __len__(self) -> int:
        """Return the number of samples that come over and over."""

    def tokens(self, index: int) -> TokenSample:
        """Return a sample in tokens."""


@dataclass(frozen=True, slots=True)
class TokenSource:
    """Samples that are tokens already, over and over."""

    samples: Sequence[TokenSample]

    def __len__(self) -> int:
        return len(self.samples)

    def tokens(self, index: int) -> TokenSample:
        """Return a sample, from the beginning again behind the last one."""
        return self.samples[index % len(self.samples)]


class FileSource:
    """The samples of a file, kept in memory compressed, over and over.

    The whole file is read and every line's digest checked before the first sample is asked for, in a tenth of the time
    that building all samples would take: each is built from its text when it is drawn.

    Raises SamplesError, and NotTrainable if there are none.
    """

    def __init__(self, path: Path, text: TextEncoder, texts: KeptTexts | None = None) -> None:
        """`texts` are those that the file holds, if they are in memory already."""
        self._path, self._text = path, text
        self._texts = KeptTexts(path) if texts is None else texts
        if not len(self._texts):
            raise NotTrainable(f"{path} holds no samples.")
        self._sample(0)  # of a file that something else has written than `encode_sample`, none is one

    def __len__(self) -> int:
        return len(self._texts)

    def tokens(self, index: int) -> TokenSample:
        """Return a sample, from the beginning again behind the last one. Raises EditedSamples if it is none."""
        return in_tokens(self._sample(index % len(self._texts)), self._text)

    def _sample(self, number: int) -> Sample:
        return sample_of(self._path, number, self._texts[number])


def longest_of(sources: Iterable[Source], context: int) -> int:
    """Return the tokens of the longest sample that a context can hold; those of the context if it holds none."""
    samples = (source.tokens(index) for source in sources for index in range(len(source)))
    return max((each.num_tokens for each in samples if each.num_positions <= context), default=context)


@dataclass(frozen=True)
class BatchStream:
    """Batches of `rows` packed rows of `row_tokens`, each once per mode, and each of one source, drawn by weight.

    The loss is a mean over rows: beside states with sixty questions each, decisions of one answer would hardly count in
    one of answers. Where none of many samples fits, another source is drawn.
    """

    sources: Sequence[tuple[float, Source]]
    modes: tuple[Mode, ...]
    rows: int
    row_tokens: int
    context: int
    seed: int = 0
    positions: Positions = Positions.SEQUENTIAL

    def __getitem__(self, number: int) -> Batch:
        """Return batch `number`. Raises NotTrainable if no sample fits into a row."""
        packed = [self._samples(random.Random(f"{self.seed}/{number}/{row}")) for row in range(self.rows)]
        rows = [
            joined([row_of(sample, mode, self.positions) for sample in samples], self.row_tokens)
            for mode in self.modes
            for samples, _ in packed
        ]
        return replace(batch_of(rows), left_out=sum(len(left_out) for _, left_out in packed))

    def _samples(self, rng: random.Random) -> tuple[list[TokenSample], list[TokenSample]]:
        """Return what one row holds, and the samples that were longer than any row or than the model's context."""
        left_out: list[TokenSample] = []
        sources = list(self.sources)
        while sources:
            [place] = rng.choices(range(len(sources)), [weight for weight, _ in sources])
            _, source = sources.pop(place)
            chosen, more = self._of(source, rng)
            left_out += more
            if chosen:
                return chosen, left_out
        raise NotTrainable(f"no sample of {_MOST_MISSES} fits: {self._room.advice(left_out)}.")

    @property
    def _room(self) -> Room:
        return Room(self.row_tokens, self.context)

    def _of(self, source: Source, rng: random.Random) -> tuple[list[TokenSample], list[TokenSample]]:
        """Return a row of one source, empty if of many draws none fits, and the samples that no row could hold."""
        room = self._room
        chosen: list[TokenSample] = []
        left_out: list[TokenSample] = []
        left, misses = self.row_tokens, 0
        while misses < (_TRIES if chosen else _MOST_MISSES):
            sample = source.tokens(rng.randrange(2**31))
            is_held = room.holds(sample)
            if is_held and sample.num_tokens <= left:
                chosen.append(sample)
                left -= sample.num_tokens
                misses = 0
            else:
                misses += 1
                if not is_held:
                    left_out.append(sample)
        return chosen, left_out


@dataclass(frozen=True)
class Schedule:
    """Which stream the batches of a step come from, `batches_a_step` of them; all streams' batches are of one size.

    Full mode is in every `full_every`-th step, the first among them; in the others block modes are alone, on as many
    more rows. Every `remember_every`-th step is that of `remembered`, if there is one.
    """

    learned: BatchStream
    batches_a_step: int = 1
    full_every: int = 1
    remembered: BatchStream | None = None
    remember_every: int = 1

    def remembers(self, step: int) -> bool:
        """Whether nothing new is learned in a step."""
        return self.remembered is not None and (step + 1) % self.remember_every == 0

    def stream_of(self, step: int) -> BatchStream:
        """Return what a step's batches come from."""
        if self.remembered is not None and self.remembers(step):
            return self.remembered
        if step % self.full_every == 0:
            return self.learned
        modes = tuple(mode for mode in self.learned.modes if mode is not Mode.FULL)
        return replace(self.learned, modes=modes, rows=self.learned.rows * len(self.learned.modes) // len(modes))

    def modes_of(self, step: int) -> tuple[Mode, ...]:
        """Return the modes of a step's batches."""
        return self.stream_of(step).modes

    def __getitem__(self, number: int) -> Batch:
        """Return batch `number`. Raises NotTrainable if no sample fits into a row."""
        return self.stream_of(number // self.batches_a_step)[number]
