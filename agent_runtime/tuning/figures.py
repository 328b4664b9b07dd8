"""What a step came to, read one step late: the host has launched the next one by then, and a GPU never waits for it."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from agent_runtime.engine.digests import write_atomically
from agent_runtime.tuning.remembering import Remembered
from agent_runtime.tuning.student import Agreement, Losses
from agent_runtime.turn import Mode


@dataclass(frozen=True, slots=True)
class Mark:
    """A point in what a device is given to do, which the host passes before the device does. On a CPU: a time."""

    event: torch.cuda.Event | None
    seconds: float

    @classmethod
    def here(cls, device: torch.device) -> "Mark":
        """Return the point behind all that `device` was given so far."""
        if device.type != "cuda":
            return cls(None, time.perf_counter())
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(device))
        return cls(event, 0.0)

    def wait(self) -> None:
        """Return as soon as the device has come to this point."""
        if self.event is not None:
            self.event.synchronize()

    def seconds_since(self, earlier: "Mark") -> float:
        """Return the device's time between two points that it has come to."""
        if self.event is None or earlier.event is None:
            return self.seconds - earlier.seconds
        return float(earlier.event.elapsed_time(self.event)) / 1000


@dataclass(frozen=True, slots=True)
class Figures:
    """A step's figures on their way to the host, the same ones in all processes: there when `done` is reached.

    `values` are first those of `names`, then the number of samples left out, then more than 0 if some process was
    asked to stop; each the mean over `num_processes`. `tokens` are those of all processes. `further` are fields of
    what was measured behind the step.
    """

    step: int
    names: tuple[str, ...]
    values: torch.Tensor
    num_processes: int
    learning_rate: float
    tokens: int
    begin: Mark
    done: Mark
    further: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def to_host(cls, values: torch.Tensor) -> torch.Tensor:
        """Return a copy in the host's memory that is there once the device has come so far; nobody waits."""
        return values.to("cpu", non_blocking=True)

    def settled(self) -> tuple[dict[str, Any], bool]:
        """Wait for the step; return its line, and whether somebody wants to stop."""
        self.done.wait()
        *values, left_out, stop = self.values.tolist()
        line = {
            "step": self.step,
            **dict(zip(self.names, [round(value, 6) for value in values], strict=True)),
            "learning_rate": self.learning_rate,
            "left_out": round(left_out * self.num_processes),
            "tokens_per_s": round(self.tokens / self.done.seconds_since(self.begin), 1),
            **self.further,
        }
        return line, stop > 0


def columns_of(
    losses: Sequence[Losses | Agreement | Remembered], modes: Sequence[Mode]
) -> tuple[list[str], list[torch.Tensor]]:
    """Return the names of a step's figures, and for each of its batches their values."""
    if isinstance(losses[0], Remembered):
        return ["loss", "loss_remembered"], [x.total.detach().expand(2) for x in losses if isinstance(x, Remembered)]
    if isinstance(losses[0], Losses):
        names = [
            "loss",
            *[f"loss_{mode}" for mode in modes],
            *[f"distance_{mode}" for mode in modes[1:]],
            *[f"right_{mode}" for mode in modes],
        ]
        answers = [each for each in losses if isinstance(each, Losses)]
        return names, [torch.stack([x.total.detach(), *x.answers, *x.distances, *x.right]) for x in answers]
    names = ["loss", *[f"{what}_{mode}" for what in ("loss", "variation", "agreed") for mode in modes]]
    agreements = [each for each in losses if isinstance(each, Agreement)]
    return names, [torch.stack([x.total.detach(), *x.divergence, *x.variation, *x.agreed]) for x in agreements]


def forget_from(metrics: Path, step: int) -> None:
    """Leave out the lines of steps that will be done again, and one that was cut."""
    if not metrics.is_file():
        return
    kept = []
    for line in metrics.read_text("utf-8").splitlines():
        try:
            if json.loads(line)["step"] < step:
                kept.append(line)
        except (ValueError, KeyError):
            continue
    write_atomically(metrics, "".join(f"{line}\n" for line in kept))
