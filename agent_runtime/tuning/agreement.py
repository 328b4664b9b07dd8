"""Recorded turns whose right answers nobody has said: every mode is to decide what full mode did before the run.

How well they agree is learned from (`Teacher.agreement`), and measured on turns of other matches, which are held out.
"""

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from agent_runtime.engine.digests import write_atomically
from agent_runtime.engine.positions import Positions
from agent_runtime.tuning.errors import NotTrainable
from agent_runtime.tuning.packing import Batch, batch_of, joined
from agent_runtime.tuning.rows import Room, TokenSample, row_of
from agent_runtime.tuning.student import Agreement, Decisions, wanted_of
from agent_runtime.turn import Mode

AGREEMENT = "agreement.json"
_FIGURES = ("divergence", "variation", "agreed")


@dataclass(frozen=True, slots=True)
class Turns:
    """Recorded turns, their decisions listed, and those of other matches (or sessions), which are only measured.

    `digest` names them all. `repeated` turns were held out, too, but are token for token among those of `train`.
    """

    train: tuple[TokenSample, ...]
    held_out: tuple[TokenSample, ...]
    digest: str
    repeated: int = 0


@dataclass(frozen=True, slots=True)
class Teacher:
    """Full mode, the first, of the model as it was before the run, which is what `as_it_began` shows inside a `with`.

    `answered` returns the logits of all tokens that are predicted in a batch, and what they should be.
    """

    modes: tuple[Mode, ...]
    as_it_began: Callable[[], AbstractContextManager[None]]
    answered: Callable[[Batch], tuple[torch.Tensor, torch.Tensor]]
    positions: Positions = Positions.SEQUENTIAL

    @torch.no_grad()
    def taught(self, batch: Batch) -> torch.Tensor:
        """Return the teacher's logits of full mode's predicted tokens."""
        with self.as_it_began():
            logits, _ = self.answered(batch)
        return logits.chunk(len(self.modes))[0]

    def agreement(self, batch: Batch) -> Agreement:
        """Compare what every mode decides with what full mode did before the run."""
        num_modes = len(self.modes)
        decisions = Decisions.of(batch, wanted_of(batch).chunk(num_modes)[0])
        taught = self.taught(batch)  # first: what the student computes is not to see its weights exchanged
        logits, labels = self.answered(batch)
        own = labels.chunk(num_modes)[0]
        students = [decisions.logprobs(each, own) for each in logits.chunk(num_modes)]
        return decisions.agreement(decisions.logprobs(taught, own), students)

    @torch.no_grad()
    def measured(
        self, held_out: Sequence[TokenSample], room: Room, length: int | None, device: torch.device
    ) -> dict[str, Any]:
        """Return the agreement on turns, one by one in rows of `length` (None: its own), as the report has it.

        Those that `room` does not hold are left out. Raises NotTrainable if that is all of them.
        """
        found = []
        for sample in filter(room.holds, held_out):
            rows = [row_of(sample, mode, self.positions) for mode in self.modes]
            packed = [joined([row], length or sample.num_tokens) for row in rows]
            found.append(self.agreement(batch_of(packed).to(device)))
        if not found:
            raise NotTrainable(f"no held-out turn fits: {room.advice(held_out)}.")
        return {"turns": len(found), "left_out": len(held_out) - len(found), **self._averages(found)}

    def _averages(self, found: Sequence[Agreement]) -> dict[str, dict[str, float]]:
        columns = {name: torch.stack([torch.stack(getattr(each, name)) for each in found]).mean(0) for name in _FIGURES}
        return {
            mode.value: {name: round(float(columns[name][place]), 6) for name in _FIGURES}
            for place, mode in enumerate(self.modes)
        }


def is_noted(folder: Path, when: str) -> bool:
    """Whether the folder's report has what was measured "before" or "after" a run."""
    file = folder / AGREEMENT
    return file.is_file() and when in json.loads(file.read_text("utf-8"))


def note_agreement(folder: Path, when: str, measured: dict[str, Any]) -> None:
    """Write what was measured ("before" or "after" a run) into its folder's report, beside what is there."""
    file = folder / AGREEMENT
    report = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    write_atomically(file, json.dumps({**report, when: measured}, indent=2) + "\n")
