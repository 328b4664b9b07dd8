"""A run on a tiny model: it learns, goes on where it was stopped, and what it makes is what the runtime loads."""

import itertools
import json
import math
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from agent_runtime.engine.card import read_card
from agent_runtime.engine.errors import BrokenModel
from agent_runtime.engine.loading import ModelSpec, load_model
from agent_runtime.engine.rope import RotaryTable
from agent_runtime.tuning import training
from agent_runtime.tuning.attention import Planner
from agent_runtime.tuning.config import DataPart, ModelPart, TrainingPart, TuneConfig
from agent_runtime.tuning.errors import (
    CutSamples,
    DamagedSaving,
    LossNotFinite,
    NotSamples,
    NotTrainable,
    OtherRun,
    RunInUse,
)
from agent_runtime.tuning.lora import with_lora
from agent_runtime.tuning.samples import Ask, Header, Sample, SampleWriter, Split, read_samples
from agent_runtime.tuning.stream import BatchStream, FileSource, Schedule
from agent_runtime.tuning.student import Student, losses_of
from agent_runtime.tuning.training import METRICS, TuneResult, tune
from tests.agent_runtime.tuning.synchronising import synchronising
from tests.tiny_models import save_tiny_model, tiny_model

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

PART = TrainingPart(steps=12, row_tokens=160, learning_rate=5e-3, warmup_steps=2, lora_rank=4, save_every=4)


@pytest.fixture(autouse=True)
def on_a_cpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "1")
    monkeypatch.setenv("HOTSEAT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    save_tiny_model(tmp_path / "guard", "llama")
    write_samples(tmp_path / "train.jsonl", 40)
    return tmp_path


def write_samples(path: Path, number: int, split: Split = "train") -> None:
    with SampleWriter(path, Header("gates", {}, "1", 0, split)) as writer:
        for seed in range(number):
            names = ["north", "south", "east"]
            blocks = tuple(
                (f"gate/{name}", f"gate/{name}\nopen: {'yes' if seed >> i & 1 else 'no'}\n")
                for i, name in enumerate(names)
            )
            asks = tuple(
                Ask(f"Is the {name} gate open?\n", answer, answer, "unit_fact", chance=0.5)
                for i, name in enumerate(names)
                for answer in ["yes" if seed >> i & 1 else "no"]
            )
            writer.write(Sample("gates", "gates", split, seed, "Answer yes or no.", blocks, asks))


def config(home: Path, **changes: Any) -> TuneConfig:
    source = changes.pop("source", str(home / "guard"))
    model = ModelPart(
        source, changes.pop("rope_theta", None), changes.pop("context", None), changes.pop("adapter", None)
    )
    data = DataPart(("train.jsonl",), validation=changes.pop("validation", ()))
    return TuneConfig(model, data, replace(PART, **changes), home)


def run(made: TuneConfig, folder: Path, stop_after: int | None = None) -> tuple[TuneResult, list[dict[str, Any]]]:
    heard: list[dict[str, Any]] = []
    steps = itertools.count(1)
    result = tune(made, folder, heard.append, lambda: next(steps) == stop_after)
    return result, heard


@pytest.mark.parametrize(
    "changes", [{}, {"lora_rank": 0}, {"distillation": 1.0, "modes": ("full", "star", "anchored")}]
)
def test_the_loss_falls_in_every_mode(home: Path, changes: dict[str, Any]) -> None:
    made = config(home, **{"steps": 30, **changes})
    result, heard = run(made, home / "run")
    assert result.step == 30
    for mode in made.modes:
        assert heard[-1][f"loss_{mode}"] < 0.5 * heard[0][f"loss_{mode}"]
    assert [json.loads(line) for line in (home / "run" / METRICS).read_text().splitlines()] == heard


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(home: Path) -> None:
    _, whole = run(config(home), home / "whole")
    result, first = run(config(home), home / "halves", stop_after=6)
    assert (result.step, result.made) == (6, None)
    # Killed later, between two savings: the line of a step that is done again is not there twice.
    with (home / "halves" / METRICS).open("a") as file:
        file.write('{"step": 6, "loss": 1}\n{"step": 7, "lo')
    _, second = run(config(home), home / "halves")
    losses = [line["loss"] for line in whole]
    assert [line["loss"] for line in [*first, *second]] == pytest.approx(losses, abs=1e-5)
    lines = [json.loads(line) for line in (home / "halves" / METRICS).read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(12))
    assert run(config(home), home / "halves")[1] == [], "a finished run has nothing left to do"


@pytest.mark.parametrize("lora_rank", [4, 0])
def test_a_head_that_is_the_embeddings_is_saved_once_and_nothing_is_said(
    home: Path, caplog: pytest.LogCaptureFixture, lora_rank: int
) -> None:
    model = tiny_model("llama")
    model.config.tie_word_embeddings = True
    model.tie_weights()
    model.save_pretrained(home / "guard")
    made = config(home, steps=8, lora_rank=lora_rank)
    _, whole = run(made, home / "whole")
    _, first = run(made, home / "halves", stop_after=5)
    _, second = run(made, home / "halves")
    assert [line["loss"] for line in [*first, *second]] == pytest.approx([line["loss"] for line in whole], abs=1e-5)
    [saved] = (home / "halves" / "saved").glob("*.safetensors")
    heads = [name for name in load_file(saved) if "lm_head" in name or "embed_tokens" in name]
    assert len(heads) == (0 if lora_rank else 1), heads
    assert not [record.getMessage() for record in caplog.records if record.name.startswith("accelerate")]


def test_a_run_does_not_go_on_with_samples_that_were_made_anew(home: Path) -> None:
    run(config(home), home / "run", stop_after=3)
    write_samples(home / "train.jsonl", 39)
    with pytest.raises(OtherRun, match="another set of samples"):
        run(config(home), home / "run")
    write_samples(home / "train.jsonl", 40)
    assert run(config(home), home / "run")[0].step == 12


def test_a_run_killed_between_two_renames_finds_what_it_had_saved(home: Path) -> None:
    run(config(home), home / "run", stop_after=6)
    (home / "run" / "saved").rename(home / "run" / "saved.old")
    _, heard = run(config(home), home / "run")
    assert [line["step"] for line in heard] == list(range(6, 12))


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.bin"])
@pytest.mark.parametrize("is_noted", [True, False])
def test_what_was_saved_and_is_damaged_is_named_and_the_run_begins_again_without_it(
    home: Path, name: str, is_noted: bool
) -> None:
    run(config(home), home / "run", stop_after=6)
    saved = home / "run" / "saved"
    if not is_noted:  # as it was before sizes were noted: found when it is read
        (saved / "launch.json").unlink()
    (saved / name).write_bytes((saved / name).read_bytes()[:-100])
    with pytest.raises(DamagedSaving, match=name) as caught:
        run(config(home), home / "run")
    assert (caught.value.file, caught.value.saved) == (saved / name, saved)
    shutil.rmtree(saved)
    assert [line["step"] for line in run(config(home), home / "run")[1]] == list(range(12))


def test_another_run_is_refused_in_the_same_folder(home: Path) -> None:
    run(config(home, steps=1), home / "run")
    with pytest.raises(OtherRun, match="another configuration"):
        run(config(home, steps=2), home / "run")


def test_the_adapter_is_what_the_runtime_loads_with_its_modes_base_and_positions(home: Path) -> None:
    result, _ = run(config(home, rope_theta=500_000.0, context=8_192), home / "run")
    assert result.made is not None
    card = read_card(result.made / "hotseat.json")
    assert card.block_modes == ("anchored",) and card.context == 8_192
    loaded = load_model(ModelSpec(str(home / "guard"), adapter=result.made, device="cpu"))
    assert (loaded.block_modes, loaded.context_limit) == (("anchored",), 8_192)
    save_tiny_model(home / "other", "llama", seed=5)
    with pytest.raises(BrokenModel, match="tuned for other weights"):
        load_model(ModelSpec(str(home / "other"), adapter=result.made, device="cpu"))


def test_all_weights_make_a_model_of_their_own(home: Path) -> None:
    result, _ = run(config(home, lora_rank=0, steps=2, modes=("full", "star")), home / "run")
    assert result.made is not None and result.made.name == "model"
    loaded = load_model(ModelSpec(str(result.made), device="cpu"))
    assert loaded.block_modes == ("star",)


@pytest.mark.parametrize(("step", "saved"), [(6, 4), (7, 4), (8, 8), (11, 8)])
def test_a_loss_that_is_no_number_ends_the_run_and_leaves_what_was_saved(
    home: Path, monkeypatch: pytest.MonkeyPatch, step: int, saved: int
) -> None:
    real = training.losses_of
    calls: list[None] = []

    def broken(*given: Any) -> Any:
        calls.append(None)
        losses = real(*given)
        return replace(losses, total=losses.total * math.nan) if len(calls) == step + 1 else losses

    monkeypatch.setattr(training, "losses_of", broken)
    with pytest.raises(LossNotFinite, match=rf"loss of step {step + 1} is nan\. What was saved last is step {saved}"):
        run(config(home), home / "run")
    assert json.loads((home / "run" / "saved" / "step.json").read_text()) == {"step": saved}
    assert [json.loads(line)["step"] for line in (home / "run" / METRICS).read_text().splitlines()] == [*range(step)]
    assert not (home / "run" / "adapter").exists()
    monkeypatch.setattr(training, "losses_of", real)
    assert [line["step"] for line in run(config(home), home / "run")[1]] == list(range(saved, 12))


def test_two_processes_are_not_at_one_run(home: Path) -> None:
    run(config(home, steps=1), home / "run")
    before = (home / "run" / METRICS).read_bytes()
    holds = (
        "import sys; from pathlib import Path; from kv_store.folder_lock import FolderLock\n"
        "lock = FolderLock(Path(sys.argv[1])); print(1, flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holds, home / "run"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == "1\n"
        with pytest.raises(RunInUse, match=rf"Process {other.pid} is at the run in .*name another folder"):
            run(config(home, steps=1), home / "run")
        other.kill()
    assert (home / "run" / METRICS).read_bytes() == before
    run(config(home, steps=1), home / "run")


def test_samples_of_another_split_are_learned_from_if_that_is_meant(home: Path) -> None:
    with SampleWriter(home / "test.jsonl", Header("gates", {}, "1", 0, "test")) as writer:
        for sample in read_samples(home / "train.jsonl"):
            writer.write(sample)
    made = config(home, steps=1)
    measured = replace(made, data=DataPart(("test.jsonl",)))
    with pytest.raises(NotTrainable, match=r'test\.jsonl is of the split test: .* splits = \["train", "test"\]'):
        run(measured, home / "run")
    assert not (home / "run").exists()
    assert run(replace(made, data=DataPart(("test.jsonl",), splits=("test",))), home / "run")[0].made is not None


@pytest.mark.parametrize(("step", "saved"), [(3, 0), (11, 8)])
def test_a_gradient_that_is_no_number_stops_the_run_before_it_is_saved(
    home: Path, monkeypatch: pytest.MonkeyPatch, step: int, saved: int
) -> None:
    class Flawed(torch.autograd.Function):
        """As it is, but that one number of its gradient is none."""

        @staticmethod
        def forward(context: Any, value: torch.Tensor) -> torch.Tensor:
            return value.clone()

        @staticmethod
        def backward(context: Any, gradient: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
            return gradient * math.nan

    def broken(*given: Any) -> Any:
        calls.append(None)
        losses = real(*given)
        return replace(losses, total=Flawed.apply(losses.total)) if len(calls) == step + 1 else losses

    calls: list[None] = []
    real = losses_of
    monkeypatch.setattr(training, "losses_of", broken)
    with pytest.raises(
        LossNotFinite, match=rf"gradient_norm of step {step + 1} is nan\. What was saved last is step {saved}"
    ):
        run(config(home), home / "run")
    assert not (home / "run" / "adapter").exists()
    monkeypatch.setattr(training, "losses_of", real)
    _, heard = run(config(home), home / "run")
    assert [line["step"] for line in heard] == list(range(saved, 12)) and all(
        line["gradient_norm"] > 0 for line in heard
    )


@pytest.mark.parametrize(("cut", "error"), [(-4, CutSamples), (0, NotSamples)])
def test_a_file_of_samples_that_cannot_be_read_is_refused_before_the_run_has_a_folder(
    home: Path, cut: int, error: type[Exception]
) -> None:
    whole = (home / "train.jsonl").read_bytes()
    (home / "train.jsonl").write_bytes(whole[:cut])
    with pytest.raises(error, match="train.jsonl"):
        run(config(home), home / "run")
    assert not (home / "run").exists()


def test_a_file_of_samples_that_is_not_there_is_missed_before_the_model_is_loaded(home: Path) -> None:
    made = config(home, source=str(home / "no_model"))
    (home / "train.jsonl").unlink()
    with pytest.raises(NotSamples, match="train.jsonl"):
        run(made, home / "run")


def test_samples_longer_than_a_row_or_the_context_are_left_out_and_counted(home: Path) -> None:
    with pytest.raises(
        NotTrainable, match=r"fits: a row holds 20 tokens, .* \(make rows longer: training\.row_tokens\)\."
    ):
        run(config(home, row_tokens=20), home / "short")
    with pytest.raises(
        NotTrainable, match=r"fits: the model has 20 positions, .* \(extend its context: model\.context\)\."
    ):
        run(config(home, context=20), home / "few")
    _, heard = run(config(home, steps=1), home / "run")
    assert heard[0]["left_out"] == 0


@pytest.mark.parametrize(
    "changes",
    [{}, {"lora_rank": 0, "accumulate": 2, "rows": 2, "distillation": 0.5}, {"full_every": 3}],
)
def test_a_run_is_what_a_plain_loop_over_its_batches_comes_to(home: Path, changes: dict[str, Any]) -> None:
    made = config(home, steps=4, save_every=2, compile=False, **changes)
    part = made.training
    result, heard = run(made, home / "run")
    loaded = load_model(ModelSpec(str(home / "guard"), dtype="float32", device="cpu"))
    training.set_seed(part.seed)
    model = loaded.model.requires_grad_(True) if not part.lora_rank else loaded.model
    if part.lora_rank:
        with_lora(model, part, None)
    student = Student(model)
    sources = [(1.0, FileSource(home / "train.jsonl", loaded.text))]
    sizes = (part.rows, part.row_tokens, loaded.context_limit, part.seed)
    stream = Schedule(BatchStream(sources, made.modes, *sizes), part.accumulate, part.full_every)
    planner = Planner(RotaryTable(model.get_decoder().rotary_emb.inv_freq, loaded.context_limit), torch.device("cpu"))
    weights = [weight for weight in student.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=1.0, betas=(0.9, 0.95), weight_decay=part.weight_decay, foreach=False)
    for step in range(part.steps):
        optimizer.param_groups[0]["lr"] = heard[step]["learning_rate"]
        found = []
        for number in range(step * part.accumulate, (step + 1) * part.accumulate):
            batch = stream[number]
            (wanted,) = (batch.label.flatten() != -100).nonzero(as_tuple=True)
            logits = student(batch.ids, planner.plan(batch), wanted)
            num_modes = len(made.modes) if step % part.full_every == 0 else 1
            losses = losses_of(logits, batch.label.flatten()[wanted], batch.rows, num_modes, part.distillation)
            (losses.total / part.accumulate).backward()
            found.append(losses.total.item())
        torch.nn.utils.clip_grad_norm_(weights, part.clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        assert heard[step]["loss"] == pytest.approx(sum(found) / len(found), abs=2e-5)
    assert result.made is not None
    file = "adapter_model.safetensors" if part.lora_rank else "model.safetensors"
    ours = load_file(result.made / file)
    for name, weight in student.model.named_parameters():
        if weight.requires_grad:
            key = f"base_model.model.{name}".replace(".default", "") if part.lora_rank else name
            torch.testing.assert_close(ours[key], weight.detach(), atol=1e-5, rtol=1e-4)


def test_nothing_in_a_step_makes_the_host_wait_for_the_device(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[str] = []
    settled: list[int] = []

    def watched(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def call(*given: Any, **more: Any) -> Any:
            with synchronising() as inside:
                made = real(*given, **more)
            found.extend(inside)
            return made

        monkeypatch.setattr(owner, name, call)

    watched(training._Run, "_gradients")
    watched(training.Accelerator, "clip_grad_norm_")
    watched(torch.optim.AdamW, "step")
    watched(training._Run, "_figures")
    real_settle = training._Run._settle

    def settle(self: Any, figures: Any, tell: Any) -> bool:
        settled.append(figures.step)
        return real_settle(self, figures, tell)

    monkeypatch.setattr(training._Run, "_settle", settle)
    steps: list[tuple[int, int]] = []

    def is_stopped() -> bool:  # asked when a step is under way
        steps.append((len(steps), len(settled)))
        return False

    tune(config(home, steps=8, save_every=4), home / "run", lambda line: None, is_stopped)
    assert found == []
    late = [(step, done) for step, done in steps if step % 4 > 0]
    assert all(done == step - 1 for step, done in late), "each is read when the next one is under way"
    assert settled == list(range(8))
