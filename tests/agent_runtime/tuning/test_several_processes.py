"""A run of two processes, real ones: it is the run of one process, one of them writes, and all stop together."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from agent_runtime.tuning.training import METRICS
from tests.agent_runtime.tuning.test_training import config, run, write_samples
from tests.tiny_models import save_tiny_model

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

ROOT = Path(__file__).parents[3]
# accumulate is 2 in each of two processes, and 4 in one.
HELD_OUT: dict[str, Any] = {"validation": ("held.jsonl",), "validate_every": 4}
RUNS: dict[str, dict[str, Any]] = {"lora": HELD_OUT, "all": {"lora_rank": 0}}

# What each of the processes does: the runs, and one that its second process wants to stop behind step 2.
SCRIPT = """
import json, os, sys
from pathlib import Path
from agent_runtime.tuning.training import leave_others, tune
from tests.agent_runtime.tuning.test_several_processes import RUNS
from tests.agent_runtime.tuning.test_training import config

home, rank, heard = Path(sys.argv[1]), os.environ["RANK"], []
for name, changes in RUNS.items():
    tune(config(home, steps=6, accumulate=2, **changes), home / name, heard.append)
asked = iter([False, rank == "1", *[False] * 9])
stopped = tune(config(home, steps=6, accumulate=2), home / "halves", heard.append, lambda: next(asked))
tune(config(home, steps=6, accumulate=2), home / "halves", heard.append)
(home / f"heard-{rank}.json").write_text(json.dumps([stopped.step, stopped.made is None, heard]))
leave_others()
"""

CONFIG = """
[model]
source = "guard"
[data]
train = ["train.jsonl"]
[training]
steps = 100000
save_every = 100000
row_tokens = 160
lora_rank = 2
workers = {workers}
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "1")
    monkeypatch.setenv("HOTSEAT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    save_tiny_model(tmp_path / "guard", "llama")
    write_samples(tmp_path / "train.jsonl", 40)
    write_samples(tmp_path / "held.jsonl", 5, "validation")
    return tmp_path


def two_processes(home: Path, *words: str) -> list[subprocess.Popen[str]]:
    """Start what a launcher starts: one command, twice, each with its rank."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "ignore",
        "OMP_NUM_THREADS": "1",
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    return [
        subprocess.Popen(
            [sys.executable, *words],
            cwd=home,
            env={**os.environ, **shared, "RANK": rank, "LOCAL_RANK": rank, "CUDA_VISIBLE_DEVICES": ""},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=sys.platform != "win32",
        )
        for rank in ("0", "1")
    ]


def ended(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    """Wait for all, and end them if they do not."""
    try:
        said = [each.communicate(timeout=100) for each in processes]
        return [(each.returncode, *both) for each, both in zip(processes, said, strict=True)]
    finally:
        for each in processes:
            each.kill()


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / METRICS).read_text().splitlines()]


def test_two_processes_make_what_one_makes_of_the_same_batches(home: Path) -> None:
    running = two_processes(home, "-c", SCRIPT, str(home))
    for name, changes in RUNS.items():
        run(config(home, steps=6, accumulate=4, **changes), home / f"{name}-alone")
    for code, _, said in ended(running):
        assert code == 0, said
    for name in RUNS:
        for ours, theirs in zip(lines(home / name), lines(home / f"{name}-alone"), strict=True):
            for each in (ours, theirs):
                del each["tokens_per_s"]
            assert ours == pytest.approx(theirs, abs=1e-4, rel=1e-4)
        made = "model/model.safetensors" if name == "all" else "adapter/adapter_model.safetensors"
        weights = [load_file(home / folder / made) for folder in (name, f"{name}-alone")]
        assert weights[0].keys() == weights[1].keys()
        for key, weight in weights[0].items():
            torch.testing.assert_close(weight, weights[1][key], atol=1e-4, rtol=1e-3)
        saved = load_file(home / name / "saved" / "model.safetensors")
        assert saved.keys() and all(("lora_" in key) == (name == "lora") for key in saved)
    # The second process alone was asked, in step 1; both learned of it in step 2.
    (step, is_stopped, heard), (step_too, is_stopped_too, unheard) = (
        json.loads((home / f"heard-{rank}.json").read_text()) for rank in (0, 1)
    )
    assert (step, is_stopped) == (step_too, is_stopped_too) == (3, True)
    assert unheard == [] and heard == lines(home / "lora") + lines(home / "all") + lines(home / "halves")
    assert [line["loss"] for line in lines(home / "halves")] == pytest.approx(
        [line["loss"] for line in lines(home / "lora")], abs=1e-5
    )


@pytest.mark.skipif(sys.platform == "win32", reason="signals to a group of processes")
def test_a_signal_to_one_process_and_the_makers_of_its_batches_stops_all_and_saves_once(home: Path) -> None:
    (home / "tune.toml").write_text(CONFIG.format(workers=1))
    running = two_processes(home, "-m", "agent_runtime.cli", "tune", "tune.toml", "--out", "run", "--json", "--no-plot")
    first = running[0].stdout
    assert first is not None
    heard = [json.loads(first.readline()) for _ in range(2)]
    os.killpg(running[1].pid, signal.SIGTERM)  # as a launcher does it
    (code, told, said), (code_too, told_too, said_too) = ended(running)
    assert (code, code_too) == (130, 130), said + said_too
    done = json.loads((home / "run" / "saved" / "step.json").read_text())["step"]
    assert [line["step"] for line in lines(home / "run")] == list(range(done))
    assert [*heard, *map(json.loads, told.splitlines())] == lines(home / "run")
    assert f"Stopped behind step {done} of 100000, which is saved." in said
    assert told_too == "" and "Stopped" not in said_too and "Loading" not in said_too
