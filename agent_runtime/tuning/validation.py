"""Held-out samples that a run is measured on as it goes, and learns nothing from.

Every sample counts once, and as much as any other, however rows are packed and however many processes share them.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import torch
from accelerate import Accelerator

from agent_runtime.engine.positions import Positions
from agent_runtime.tuning.errors import NotTrainable
from agent_runtime.tuning.packing import Batch, batch_of, joined
from agent_runtime.tuning.rows import Room, TokenSample, row_of
from agent_runtime.tuning.stream import Source
from agent_runtime.tuning.student import losses_of
from agent_runtime.turn import Mode

# Where a sample lies: the number of its source, and its own number there.
_Place = tuple[int, int]


class Validation:
    """The samples of some sources in batches that are always the same ones: in their order, as many to a row as fit.

    A batch has `rows` rows, each once per mode. What `room` does not hold is left out: `left_out` counts it. Raises
    NotTrainable if that is everything.
    """

    def __init__(
        self, sources: Sequence[Source], modes: Sequence[Mode], rows: int, room: Room, positions: Positions
    ) -> None:
        self._sources, self._modes, self._rows, self._room = sources, tuple(modes), rows, room
        self._positions = positions
        self._packed: list[list[_Place]] = []
        left_out = list(self._pack())
        if not self._packed:
            raise NotTrainable(f"no sample for validation fits: {room.advice(left_out)}.")
        self.left_out = len(left_out)

    def _pack(self) -> Iterator[TokenSample]:
        """Fill rows with places of samples, and yield the samples that fit into none."""
        left = 0
        for place in ((number, index) for number, each in enumerate(self._sources) for index in range(len(each))):
            sample = self._sample(place)
            if not self._room.holds(sample):
                yield sample
                continue
            if sample.num_tokens > left:
                self._packed.append([])
                left = self._room.row_tokens
            self._packed[-1].append(place)
            left -= sample.num_tokens

    def _sample(self, place: _Place) -> TokenSample:
        number, index = place
        return self._sources[number].tokens(index)

    def __len__(self) -> int:
        return -(-len(self._packed) // self._rows)

    def __getitem__(self, number: int) -> Batch:
        """Return batch `number`; rows that the last one has no samples for are padding."""
        places = list(islice(self._packed, number * self._rows, (number + 1) * self._rows))
        packed = [list(map(self._sample, row)) for row in places] + [[]] * (self._rows - len(places))
        rows = [
            joined([row_of(sample, mode, self._positions) for sample in samples], self._room.row_tokens)
            for mode in self._modes
            for samples in packed
        ]
        return batch_of(rows)

    @torch.no_grad()
    def measured(
        self, accelerator: Accelerator, answered: Callable[[Batch], tuple[torch.Tensor, torch.Tensor]]
    ) -> dict[str, float]:
        """Return by mode what answers cost (nats a token, the mean over samples of their means) and the share of answer
        tokens that are the most likely ones, as fields of a line of metrics.

        `answered` returns the logits of all tokens that are predicted in a batch, and what they should be. The
        processes of a run share the batches, and all get the same.
        """
        world, rank = accelerator.num_processes, accelerator.process_index
        sums = torch.zeros(2 * len(self._modes) + 2, dtype=torch.float64)
        for first in range(0, len(self), world):
            number = first + rank
            batch = self[min(number, len(self) - 1)]
            if accelerator.device.type == "cpu":
                batch = batch.trimmed()
            # All compute as often, and what is none of theirs for nothing: a process may need the weights of others.
            found = self._sums(batch.to(accelerator.device), answered).cpu()
            if number < len(self):
                sums += found
        if world > 1:
            sums = accelerator.reduce(sums.to(accelerator.device), "sum")
        *values, num_samples, num_tokens = sums.tolist()
        names = [f"validation_{what}_{mode}" for what in ("loss", "right") for mode in self._modes]
        counts = [num_samples] * len(self._modes) + [num_tokens] * len(self._modes)
        means = [round(value / count, 6) for value, count in zip(values, counts, strict=True)]
        return {**dict(zip(names, means, strict=True)), "validation_left_out": self.left_out}

    def _sums(self, batch: Batch, answered: Callable[[Batch], tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
        """Return sums over a batch: of samples' losses by mode, of right tokens by mode, of samples, of tokens."""
        logits, labels = answered(batch)
        document_N = batch.document.flatten().index_select(0, batch.wanted)
        sample_N = batch.rows * (batch.document.max() + 1) + document_N
        losses = losses_of(logits, labels, sample_N, len(self._modes), distillation=0.0)
        own_N = sample_N.chunk(len(self._modes))[0]
        num_samples, num_tokens = len(own_N.unique_consecutive()), len(own_N)
        cost, right = (torch.stack(each).double() for each in (losses.answers, losses.right))
        return torch.cat([cost * num_samples, right * num_tokens, cost.new_tensor([num_samples, num_tokens])])
