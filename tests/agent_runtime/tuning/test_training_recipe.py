"""What a configuration says of steps is what they do: their learning rate, the files they draw from, their batches."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from agent_runtime.tuning.config import DataPart
from agent_runtime.tuning.samples import Ask, Header, Sample, SampleWriter
from tests.agent_runtime.tuning.test_training import config, home, on_a_cpu, run, write_samples

__all__ = ["home", "on_a_cpu"]

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")


def test_the_learning_rate_rises_and_falls_by_a_cosine_to_its_final_share(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []
    real = torch.optim.AdamW.step

    def step(optimizer: torch.optim.AdamW, *given: Any) -> Any:
        rates.extend(group["lr"] for group in optimizer.param_groups)
        return real(optimizer, *given)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    _, heard = run(config(home, steps=12, learning_rate=8e-3, warmup_steps=4, final_share=0.25), home / "run")
    falling = [0.25 + 0.75 * (1 + math.cos(math.pi * step / 12)) / 2 for step in range(12)]
    rising = [0.25, 0.5, 0.75, *[1.0] * 9]
    assert rates == pytest.approx([8e-3 * rise * fall for rise, fall in zip(rising, falling, strict=True)])
    assert [line["learning_rate"] for line in heard] == pytest.approx(rates)


def test_files_fill_rows_by_their_weights(home: Path) -> None:
    sample = Sample("gates", "gates", "train", 0, "Rules. " * 99, (), (Ask("Open?\n", "yes", "yes", "gate"),))
    with SampleWriter(home / "long.jsonl", Header("gates", {}, "1", 0, "train")) as writer:
        writer.write(sample)

    def left_out(*weights: float) -> list[int]:
        """A draw of the file of long samples is seen: none fits."""
        made = replace(config(home, steps=4), data=DataPart(("long.jsonl", "train.jsonl"), weights))
        return [line["left_out"] for line in run(made, home / f"run{weights}")[1]]

    assert left_out(1e-9, 1.0) == [0] * 4 and min(left_out(1.0, 1e-9)) > 0


def test_a_step_of_several_batches_goes_by_their_mean(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    norms: list[float] = []
    real = Accelerator.clip_grad_norm_

    def clipped(accelerator: Accelerator, *given: Any) -> Any:
        norm = real(accelerator, *given)
        norms.append(float(norm))
        return norm

    monkeypatch.setattr(Accelerator, "clip_grad_norm_", clipped)
    write_samples(home / "train.jsonl", 1)  # so that all batches are the same
    for accumulate in (1, 3):
        run(config(home, steps=1, accumulate=accumulate), home / f"run{accumulate}")
    assert norms[0] > 1e-3 and norms[1] == pytest.approx(norms[0], rel=1e-4)
