"""What `hotseat tune` prints while it runs and when it has."""

import json
import time
from pathlib import Path
from typing import Any

from agent_runtime.commands.options import say
from agent_runtime.commands.progress import SECONDS_BETWEEN_LINES, Clock, Pace

# Of fewer turns a share of agreement is known no better than to within a fifth or so.
_FEW_TURNS = 30


class Steps:
    """Hears the metrics of every step, counted from 0 there, and says now and then how far it is, counted from 1.

    Of `steps`: the first and the last one here, and others about every ten seconds, with the time that is left. With
    `as_json` all metrics are printed instead, as they are. `clock` is in seconds.
    """

    def __init__(self, steps: int, *, as_json: bool = False, clock: Clock = time.monotonic) -> None:
        self._steps, self._as_json, self._clock = steps, as_json, clock
        self._pace = Pace(SECONDS_BETWEEN_LINES, clock)
        self._first: tuple[int, float] | None = None

    @property
    def has_heard(self) -> bool:
        """Whether there was any step."""
        return self._first is not None

    def tell(self, line: dict[str, Any]) -> None:
        """Take a step's metrics."""
        now, done, is_due = self._clock(), line["step"] + 1, self._pace.is_due()
        if self._first is None:
            self._first = done, now
        first, began = self._first
        if self._as_json:
            print(json.dumps(line), flush=True)
        elif done in (first, self._steps) or is_due:
            parts = [f"{name.removeprefix('loss_')} {line[name]:.3f}" for name in line if name.startswith("loss_")]
            parts.append(f"{line['tokens_per_s']:.0f} tokens/s")
            if first < done < self._steps:
                parts.append(f"{_span((now - began) / (done - first) * (self._steps - done))} left")
            say(f"step {done:>6} of {self._steps}  {'  '.join(parts)}")
        if not self._as_json and (validated := _validated(line)):
            say(f"step {done:>6} validation  {validated}")
        if line["left_out"]:
            say(f"step {done}: {line['left_out']} samples are too long for a row or the model, and left out.")


def _validated(line: dict[str, Any]) -> str:
    """Return what a line has of validation in words, empty if it has nothing."""
    start = "validation_loss_"
    modes = [name.removeprefix(start) for name in line if name.startswith(start)]
    parts = [
        f"{mode} {line[start + mode]:.3f} ({100 * line[f'validation_right_{mode}']:.1f} % right)" for mode in modes
    ]
    if left_out := line.get("validation_left_out"):
        parts.append(f"{left_out} samples are too long for a row or the model, and left out")
    return "  ".join(parts)


def say_agreement(report: Path) -> None:
    """Print how far modes are from full mode's decisions, before and after, and if that was seen too seldom."""
    measured = json.loads(report.read_text("utf-8"))
    for when, found in measured.items():
        for mode, values in found.items():
            if isinstance(values, dict):
                say(
                    f"{when:>6}  {mode:<9} same best action {100 * values['agreed']:5.1f} %   "
                    f"variation {values['variation']:.4f}   {_turns(found['turns'])} held out"
                )
    turns = min(found["turns"] for found in measured.values())
    if turns < _FEW_TURNS:
        verb = "is" if turns == 1 else "are"
        say(f"{_turns(turns)} {verb} too few to rely on: record more matches, at least {_FEW_TURNS} turns held out.")


def _turns(number: int) -> str:
    return f"{number} turn{'' if number == 1 else 's'}"


def _span(seconds: float) -> str:
    """Return a time as somebody who waits would say it."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
