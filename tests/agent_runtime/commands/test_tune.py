"""`hotseat tune` and `hotseat evaluate`, as they are typed: a run that a signal ends goes on; adapters are measured."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from agent_runtime.cli import app, main
from agent_runtime.engine.errors import BrokenModel, MissingPackage
from agent_runtime.engine.loading import ModelSpec, load_model
from agent_runtime.tuning.errors import LacksTuningExtra
from tests.agent_runtime.embedded import bring, embed
from tests.agent_runtime.replay.duel import record_duel
from tests.agent_runtime.tuning.test_plots import lacking
from tests.agent_runtime.tuning.test_training import write_samples
from tests.agent_runtime.worlds import write_game
from tests.tiny_models import save_tiny_model

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

CONFIG = """
[model]
source = "guard"
[data]
train = ["train.jsonl"]
[training]
modes = ["full", "star"]
steps = {steps}
row_tokens = 160
lora_rank = 2
save_every = 100
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "1")
    monkeypatch.setenv("HOTSEAT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    save_tiny_model(tmp_path / "guard", "llama")
    write_samples(tmp_path / "train.jsonl", 12)
    (tmp_path / "tune.toml").write_text(CONFIG.format(steps=3))
    return tmp_path


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [*map(str, words)], catch_exceptions=False)


def test_an_adapter_is_tuned_and_measured(home: Path) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    ran = run("tune", "tune.toml", "--out", "run", "--json")
    assert ran.exit_code == 0
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert [json.loads(line)["step"] for line in ran.stdout.splitlines()] == [0, 1, 2]
    assert "<svg" in (home / "run" / "loss.svg").read_text()
    measured = run(
        *("evaluate", "train.jsonl", "--model", "guard", "--adapter", "run/adapter", "--row-tokens", 256),
        *("--modes", "full,star,star:unmoved", "--out", "report.json", "--plot", "curve.svg"),
    )
    assert measured.exit_code == 0
    head, _, line, _, note = measured.stdout.splitlines()
    assert "as few as 8 samples" in note
    assert "| full | star | star, not moved | star - full | star, not moved - full |" in head
    assert line.startswith("| train.jsonl | unit_fact | 24 | 50.0 |")  # four of the twelve states came before
    report = json.loads((home / "report.json").read_text())
    assert report["block_modes"] == ["star"] and "<svg" in (home / "curve.svg").read_text()
    cell = report["files"][0]["cells"][0]
    assert cell["right"]["full"]["samples"] == 8 and cell["cost"]["star"]["interval"][0] is not None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tune", "tune.toml", "--out", "run"], "tune.toml, training.stepz: there is no such key"),
        (["evaluate", "tune.toml", "--model", "guard"], "tune.toml is no file of samples"),
        (["evaluate", "train.jsonl", "--model", "guard", "--plot", "a.xyz"], "a.xyz"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    (home / "tune.toml").write_text(CONFIG.format(steps=3).replace("steps", "stepz"))
    monkeypatch.setattr(sys, "argv", ["hotseat", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert said in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("package", "rank", "word", "said"),
    [
        ("peft", 2, "--plot", r'needs the package peft\. .* pip install "hotseat\[tuning\]"$'),
        ("peft", 0, "--plot", None),
        ("matplotlib", 2, "--plot", r'pip install "hotseat\[tuning\]" \(or tune without one: --no-plot\)$'),
        ("matplotlib", 2, "--no-plot", None),
    ],
)
def test_a_package_that_a_run_needs_is_missed_before_anything_is_loaded(
    home: Path, monkeypatch: pytest.MonkeyPatch, package: str, rank: int, word: str, said: str | None
) -> None:
    (home / "tune.toml").write_text(CONFIG.format(steps=1).replace("lora_rank = 2", f"lora_rank = {rank}"))
    (home / "guard" / "model.safetensors").unlink()
    lacking(package, monkeypatch)
    with pytest.raises(BrokenModel if said is None else (MissingPackage, LacksTuningExtra), match=said):
        run("tune", "tune.toml", "--out", "run", word)
    assert not (home / "run").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tune.toml"], "away.jsonl is no file of samples: it cannot be read"),
        (["other.toml"], "There is no adapter at '.*away'"),
        (["--recordings", "recordings"], "recordings has no recordings"),
        (["--recordings", "full", "--games", "away"], "away.*there is no such folder"),
    ],
)
def test_what_a_run_is_to_read_is_missed_before_anything_is_loaded(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    config = CONFIG.format(steps=1)
    (home / "tune.toml").write_text(config.replace('"train.jsonl"', '"train.jsonl", "away.jsonl"'))
    (home / "other.toml").write_text(config.replace('"guard"', '"guard"\nadapter = "away"'))
    for name in ("recordings", "full"):
        (home / name).mkdir()
    (home / "full" / "match-1.jsonl").touch()
    monkeypatch.setattr(sys, "argv", ["hotseat", "tune", *words, "--out", "run"])
    with pytest.raises(SystemExit) as ended:
        main()
    lines = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2 and re.search(said, lines[-1])
    assert not any("Loading the model" in line for line in lines)


def test_recordings_need_no_labels(home: Path) -> None:
    loaded = load_model(ModelSpec(str(home / "guard"), device="cpu"), home / "cache")
    record_duel(home / "recordings", write_game(home / "games"), loaded)
    config = CONFIG.format(steps=2).replace('[data]\ntrain = ["train.jsonl"]\n', "").replace("160", "1400")
    (home / "tune.toml").write_text(config)
    words = ["tune", "tune.toml", "--recordings", "recordings", "--games", "games", "--out", "run", "--no-plot"]
    ran = run(*words)
    assert ran.exit_code == 0, ran.output
    assert "before  star      same best action" in ran.stderr and "3 turns held out" in ran.stderr
    assert "3 turns are too few to rely on" in ran.stderr
    assert (home / "run" / "adapter" / "hotseat.json").is_file()
    assert "step      1 of 2  full " in ran.stderr and "step      2 of 2  full " in ran.stderr
    assert "finished already" not in ran.stderr
    again = run(*words)  # says once more what came out
    assert again.exit_code == 0 and "This run was finished already: all of its 2 steps are done." in again.stderr
    assert "What came out lies in" in again.stderr and "of 2  full" not in again.stderr
    refused = run("tune", "--out", "run")
    assert refused.exit_code == 2 and "name a configuration, or --recordings" in " ".join(refused.output.split())


@pytest.mark.skipif(sys.platform == "win32", reason="a signal that asks kindly")
def test_a_signal_ends_a_run_behind_its_step_and_the_same_command_goes_on(home: Path) -> None:
    (home / "tune.toml").write_text(CONFIG.format(steps=100_000))
    command = [sys.executable, "-m", "agent_runtime.cli", "tune", "tune.toml", "--out", "run", "--json", "--no-plot"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as running:
        assert running.stdout is not None and running.stderr is not None
        assert json.loads(running.stdout.readline())["step"] == 0
        running.send_signal(signal.SIGTERM)
        lines, said = running.communicate(timeout=120)
    assert running.returncode == 130
    done = len(lines.splitlines()) + 1
    assert f"Stopped behind step {done} of 100000, which is saved." in said
    config = home / "tune.toml"
    saved = json.loads((home / "run" / "saved" / "step.json").read_text())
    assert saved == {"step": done} and config.is_file()


def test_over_recordings_it_goes_on_from_the_packages_adapter_and_what_is_measured_is_what_is_served(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring(embed(tmp_path / "installed", monkeypatch))
    record_duel(home / "recordings", write_game(home / "games"), load_model(ModelSpec(device="cpu")))
    config = CONFIG.format(steps=2).replace('[data]\ntrain = ["train.jsonl"]\n', "").replace("160", "1400")
    config = config.replace('"guard"', '"embedded"').replace("lora_rank = 2", "lora_rank = 2\nlora_alpha = 4")
    config = config.replace('modes = ["full", "star"]\n', "")
    (home / "tune.toml").write_text(config)
    words = ("tune", "tune.toml", "--recordings", "recordings", "--games", "games", "--no-plot", "--out")
    ran = run(*words, "run")
    assert ran.exit_code == 0, ran.output
    assert f"It goes on from the adapter in {tmp_path / 'installed' / 'tuned'}." in ran.stderr
    assert "before  star " in ran.stderr and "anchored" not in ran.stderr, "as its card has it"
    (home / "tune.toml").write_text(config.replace('"embedded"', '"embedded"\nadapter = "none"'))
    bare = run(*words, "bare").stderr
    assert "It goes on from" not in bare and "before  anchored " in bare and "before  star " not in bare

    def evaluated(*adapter: str) -> str:
        report = json.loads(run("evaluate", "train.jsonl", *adapter, "--modes", "full,star", "--json").stdout)
        return str(report["environment"]["model"])

    assert evaluated() == evaluated("--adapter", "packaged") == "tiny+tuned"
    assert evaluated("--adapter", "none") == "tiny" and evaluated("--adapter", "run/adapter") == "tiny+adapter"
