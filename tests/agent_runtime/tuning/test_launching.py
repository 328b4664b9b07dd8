"""Processes that accelerate's launcher starts: weights in parts by its configuration, and what of it is refused."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate.utils import DistributedType, DynamoBackend
from safetensors.torch import load_file
from torch.distributed.checkpoint import FileSystemReader

from agent_runtime.engine.loading import ModelSpec, load_model
from agent_runtime.tuning.errors import BadLaunch, OtherLaunch
from agent_runtime.tuning.launching import _refused, check_layers, kind_of, launched
from tests.agent_runtime.tuning.test_several_processes import HELD_OUT, ROOT, lines
from tests.agent_runtime.tuning.test_training import config, run, write_samples
from tests.tiny_models import save_tiny_model, tiny_model

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

FSDP = ROOT / "examples" / "fsdp.yaml"
# What the launcher says to a process of the example.
SAID = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_CPU_RAM_EFFICIENT_LOADING": "false",
    "FSDP_OFFLOAD_PARAMS": "false",
}
# accumulate is 2 in each of two processes, and 4 in one. How a step is saved is another setting for each.
RUNS: dict[str, dict[str, Any]] = {"lora": HELD_OUT, "gathered": {}, "all": {"lora_rank": 0}}
STATES = {"lora": "SHARDED_STATE_DICT", "gathered": "FULL_STATE_DICT", "all": "FULL_STATE_DICT"}

# Each of two processes: the runs, each through, and once more with a stop that the second process asks for behind
# step 2; and one whose loss is no number in the second process. accelerate shares parts between GPUs alone: it is told
# that there are some, and then all is as it is there, over gloo.
SCRIPT = """
import json, math, os, sys
from dataclasses import replace
from pathlib import Path
from accelerate import PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType
from torch.distributed.fsdp import FSDPModule
from agent_runtime.tuning import training
from agent_runtime.tuning.errors import LossNotFinite
from agent_runtime.tuning.training import leave_others, tune
from tests.agent_runtime.tuning.test_launching import RUNS, STATES
from tests.agent_runtime.tuning.test_training import config

home, rank, heard, parts = Path(sys.argv[1]), os.environ["RANK"], [], []
real_go, real_losses = training._Run.go, training.losses_of

def go(run, *given):
    weights = list(run._student.parameters())
    share = sum(each.to_local().numel() for each in weights) / sum(each.numel() for each in weights)
    parts.append([share, sum(isinstance(each, FSDPModule) for each in run._student.modules())])
    return real_go(run, *given)

def broken(*given):
    losses = real_losses(*given)
    return replace(losses, total=losses.total * math.nan) if rank == "1" else losses

training._Run.go = go
stops = []
PartialState(cpu=True)
for name, changes in RUNS.items():
    os.environ["FSDP_STATE_DICT_TYPE"] = STATES[name]
    AcceleratorState._reset_state()
    PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
    part = {"steps": 6, "accumulate": 2, **changes}
    tune(config(home, **part), home / name, heard.append)
    asked = iter([False, rank == "1", *[False] * 9])
    stopped = tune(config(home, workers=1, **part), home / f"{name}-halves", heard.append, lambda: next(asked))
    stops.append([stopped.step, stopped.made is None])
    tune(config(home, workers=1, **part), home / f"{name}-halves", heard.append)
training.losses_of = broken
try:
    tune(config(home, steps=2), home / "broken", heard.append)
except LossNotFinite as error:
    stops.append(error.step)
(home / f"heard-{rank}.json").write_text(json.dumps([stops, parts, len(heard)]))
leave_others()
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with samples, and a model whose head is its embeddings, as SmolLM2's."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "1")
    monkeypatch.setenv("HOTSEAT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    save_tiny_model(tmp_path / "guard", "llama")
    model = tiny_model("llama")
    model.config.tie_word_embeddings = True
    model.tie_weights()
    model.save_pretrained(tmp_path / "guard")
    write_samples(tmp_path / "train.jsonl", 40)
    write_samples(tmp_path / "held.jsonl", 5, "validation")
    return tmp_path


def launch(home: Path, *words: str) -> "subprocess.Popen[str]":
    """Start what a reader starts, with the example as it is."""
    shared = {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    launcher = ["-m", "accelerate.commands.launch", "--config_file", str(FSDP), "--main_process_port", "0"]
    return subprocess.Popen(
        [sys.executable, *launcher, *words],
        cwd=home,
        env={**os.environ, **shared},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(process: "subprocess.Popen[str]") -> tuple[int, str]:
    try:
        said, _ = process.communicate(timeout=100)
    except subprocess.TimeoutExpired:
        process.terminate()  # and the launcher ends those that it has started
        said, _ = process.communicate(timeout=40)
    return process.returncode, said


def assert_alike(home: Path, ours: str, theirs: str, made: str) -> None:
    for our, their in zip(lines(home / ours), lines(home / theirs), strict=True):
        for each in (our, their):
            del each["tokens_per_s"]
        assert our == pytest.approx(their, abs=1e-4, rel=1e-4)
    weights = [load_file(home / folder / made) for folder in (ours, theirs)]
    assert weights[0].keys() == weights[1].keys() and weights[0]
    for key, weight in weights[0].items():
        torch.testing.assert_close(weight, weights[1][key], atol=1e-4, rtol=1e-3)


def saved_weights(saved: Path) -> set[str]:
    """Return the names of the weights that FSDP has saved, in parts or whole."""
    if (saved / "pytorch_model_fsdp_0").is_dir():
        return {*FileSystemReader(saved / "pytorch_model_fsdp_0").read_metadata().state_dict_metadata}
    return {*torch.load(saved / "pytorch_model_fsdp.bin", weights_only=True)}


def test_two_processes_with_weights_in_parts_make_what_one_makes_of_the_same_batches(home: Path) -> None:
    (home / "script.py").write_text(SCRIPT)
    running = launch(home, "script.py", str(home))
    for name, changes in RUNS.items():
        run(config(home, steps=6, accumulate=4, **changes), home / f"{name}-alone")
    code, said = ended(running)
    assert code == 0, said
    for name, changes in RUNS.items():
        made = "model/model.safetensors" if "lora_rank" in changes else "adapter/adapter_model.safetensors"
        assert_alike(home, name, f"{name}-alone", made)
        assert_alike(home, f"{name}-halves", name, made)
        saved = saved_weights(home / f"{name}-halves" / "saved")
        assert saved and all(("lora_" in each) != ("lora_rank" in changes) for each in saved)
    load_model(ModelSpec(str(home / "guard"), adapter=home / "lora" / "adapter", device="cpu"))
    load_model(ModelSpec(str(home / "all" / "model"), device="cpu"))
    (stops, parts, heard), (stops_too, parts_too, unheard) = (
        json.loads((home / f"heard-{rank}.json").read_text()) for rank in (0, 1)
    )
    # The second process alone was asked, in step 1, and both learned of it in step 2; its loss alone was no number.
    assert stops == stops_too == [[3, True], [3, True], [3, True], 0]
    assert (heard, unheard) == (2 * 6 * len(RUNS), 0)
    units = 1 + tiny_model("llama").config.num_hidden_layers  # each layer, and what is beside them
    for share, number in parts + parts_too:
        assert share == pytest.approx(0.5, abs=0.05) and number == units
    for name in RUNS:
        with pytest.raises(OtherLaunch, match=rf"2 processes with FSDP's {STATES[name]}, and here is 1 process"):
            run(config(home, steps=6, accumulate=2, **RUNS[name]), home / name)


def test_weights_in_parts_on_processors_are_refused_in_words(home: Path) -> None:
    (home / "tune.toml").write_text('[model]\nsource = "guard"\n[data]\ntrain = ["train.jsonl"]\n')
    code, said = ended(launch(home, "-m", "agent_runtime.cli", "tune", "tune.toml", "--out", "run", "--no-plot"))
    assert code != 0 and "Leave FSDP out" in said
    assert not (home / "run").exists()


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"FSDP_VERSION": "1"}, "fsdp_version"),
        ({"FSDP_AUTO_WRAP_POLICY": "SIZE_BASED_WRAP"}, "fsdp_auto_wrap_policy"),
        ({"FSDP_AUTO_WRAP_POLICY": None}, "fsdp_auto_wrap_policy"),
        ({"FSDP_CPU_RAM_EFFICIENT_LOADING": "true"}, "fsdp_cpu_ram_efficient_loading"),
        ({"FSDP_ACTIVATION_CHECKPOINTING": "true"}, "fsdp_activation_checkpointing"),
        ({"FSDP_OFFLOAD_PARAMS": "true"}, "fsdp_offload_params"),
        ({"FSDP_IGNORED_MODULES": "lm_head"}, "fsdp_ignored_modules"),
        ({"FSDP_STATE_DICT_TYPE": "LOCAL_STATE_DICT"}, "fsdp_config"),
    ],
)
def test_settings_that_no_run_follows_are_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, changes: Mapping[str, str | None], setting: str
) -> None:
    for name, value in {**SAID, **changes}.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    with pytest.raises(BadLaunch, match=f"^accelerate's {setting}: ") as caught:
        launched()
    assert caught.value.setting == setting


def test_a_run_over_recordings_wants_all_weights_in_every_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SAID.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BadLaunch, match="recordings.*Set MULTI_GPU"):
        launched(exchanges=True)


def test_the_loss_is_not_divided_by_a_configurations_accumulation_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "1")
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert launched().gradient_accumulation_steps == 1


def accelerator(kind: DistributedType, processes: int = 2, **more: Any) -> Any:
    """What `launching` looks at of an accelerator."""
    plugin = SimpleNamespace(
        state_dict_type=SimpleNamespace(name="SHARDED_STATE_DICT"),
        transformer_cls_names_to_wrap=more.pop("layers", None),
    )
    backend = more.pop("backend", DynamoBackend.NO)
    return SimpleNamespace(
        distributed_type=kind,
        num_processes=processes,
        state=SimpleNamespace(fsdp_plugin=plugin, dynamo_plugin=SimpleNamespace(backend=backend)),
        parallelism_config=more.pop("parallelism", None),
    )


@pytest.mark.parametrize(
    ("made", "settings"),
    [
        (accelerator(DistributedType.FSDP), []),
        (accelerator(DistributedType.NO, 1), []),
        (accelerator(DistributedType.MULTI_CPU), ["distributed_type"]),
        (accelerator(DistributedType.DEEPSPEED), ["distributed_type", "distributed_type"]),
        (accelerator(DistributedType.FSDP, parallelism=object()), ["parallelism_config"]),
        (accelerator(DistributedType.FSDP, backend=DynamoBackend.INDUCTOR), ["dynamo_backend"]),
    ],
)
def test_what_accelerate_made_of_it_is_looked_at_too(made: Any, settings: list[str]) -> None:
    assert [setting for setting, _ in _refused(made, asked=True)] == settings


def test_layers_of_another_model_are_refused_by_the_names_of_its_own() -> None:
    for layers in (None, ["LlamaDecoderLayer"]):
        check_layers(accelerator(DistributedType.FSDP, layers=layers), {"LlamaDecoderLayer"})
    with pytest.raises(BadLaunch, match="Leave it out, or set it to LlamaDecoderLayer"):
        check_layers(accelerator(DistributedType.FSDP, layers=["Qwen3DecoderLayer"]), {"LlamaDecoderLayer"})


def test_how_processes_share_a_run_is_said_in_words() -> None:
    assert kind_of(accelerator(DistributedType.NO, 1)) == "1 process"
    assert kind_of(accelerator(DistributedType.MULTI_GPU)) == "2 processes"
    assert kind_of(accelerator(DistributedType.FSDP)) == "2 processes with FSDP's SHARDED_STATE_DICT"
