"""FlexAttention over packed rows on a GPU: the dense mask's logits and gradients, and a run that learns."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

from agent_runtime.engine.loading import ModelSpec, load_model
from agent_runtime.engine.rope import RotaryTable
from agent_runtime.tuning.attention import TRAINING, Plan, Planner, Seen, register
from agent_runtime.tuning.evaluating.scoring import Item, Scorer
from agent_runtime.tuning.packing import batch_of, joined
from agent_runtime.tuning.rows import TRAINED_MODES, row_of
from agent_runtime.tuning.student import Student
from agent_runtime.tuning.training import tune
from agent_runtime.turn import Mode
from tests.agent_runtime.tuning.evaluating.test_scoring import CONDITIONS, samples
from tests.agent_runtime.tuning.test_attention import random_sample
from tests.agent_runtime.tuning.test_training import config, run, write_samples
from tests.tiny_models import CONTEXT, save_tiny_model, tiny_model

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:torch"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),
]

CUDA = torch.device("cuda")


def dense(plan: Plan, batch: Any) -> Plan:
    return Plan(plan.at_place, plan.at_local, plan.is_anchor_B1T1, None, Seen.of(batch).dense()[:, None])


@pytest.mark.parametrize("mode", TRAINED_MODES)
def test_flex_attention_equals_the_dense_mask_batch_after_batch(mode: Mode) -> None:
    torch.backends.cuda.matmul.allow_tf32 = False
    register()
    model = tiny_model("llama").to(CUDA)
    model.set_attn_implementation(TRAINING)
    planner = Planner(RotaryTable(model.model.rotary_emb.inv_freq, CONTEXT), CUDA)
    weight = model.model.layers[0].self_attn.q_proj.weight
    for seed in range(3):
        rng = numpy.random.default_rng(seed)
        rows = []
        for _ in range(2):
            samples = [random_sample(rng, rng.integers(1, 25, size=8).tolist(), 3) for _ in range(3)]
            rows.append(joined([row_of(sample, mode) for sample in samples], 512))
        batch = batch_of(rows).to(CUDA)
        used = (batch.document >= 0)[..., None]
        found = []
        for plan in (planner.plan(batch), dense(planner.plan(batch), batch)):
            model.zero_grad()
            logits = model(batch.ids, position_ids=torch.zeros_like(batch.ids), use_cache=False, plan=plan).logits
            (logits * used).logsumexp(-1).sum().backward()
            found.append(((logits * used).detach(), weight.grad.clone()))
        (ours, our_gradient), (theirs, their_gradient) = found
        assert theirs.abs().max() > 1
        torch.testing.assert_close(ours, theirs, atol=2e-4, rtol=2e-4)
        torch.testing.assert_close(our_gradient, their_gradient, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("compiled", [False, True])
def test_a_run_on_a_gpu_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiled: bool) -> None:
    monkeypatch.setenv("HOTSEAT_CACHE", str(tmp_path / "cache"))
    save_tiny_model(tmp_path / "guard", "llama")
    write_samples(tmp_path / "train.jsonl", 40)
    made = config(tmp_path, steps=30, row_tokens=256, compile=compiled)
    result, heard = run(made, tmp_path / "run")
    assert result.made is not None
    for mode in made.modes:
        assert heard[-1][f"loss_{mode}"] < 0.5 * heard[0][f"loss_{mode}"]


def test_one_layer_is_compiled_for_all_when_samples_are_answered_and_not_again_for_the_next_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_tiny_model(tmp_path / "guard", "llama")
    loaded = load_model(ModelSpec(str(tmp_path / "guard"), dtype="float32"), tmp_path / "cache")
    given = samples(12)
    layers = loaded.model.get_decoder().layers

    def scored() -> list[Item]:
        return list(Scorer(loaded, CONDITIONS, 700).score(given, lambda number, tokens: None))

    monkeypatch.setattr(Student, "compiled_layers", nullcontext)
    plain = scored()
    monkeypatch.undo()
    torch._dynamo.reset()
    first = scored()
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    again = scored()
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == graphs < len(CONDITIONS) * len(layers)
    assert first == again and loaded.model.get_decoder().layers is layers
    same = sum(ours.right == theirs.right for ours, theirs in zip(first, plain, strict=True))
    assert same > 0.9 * len(plain), "products in bfloat16 may decide a tie otherwise"


@pytest.mark.parametrize("changes", [{}, {"compile": True, "workers": 1}, {"lora_rank": 0, "accumulate": 2}])
def test_a_step_never_makes_the_host_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: Any) -> None:
    monkeypatch.setenv("HOTSEAT_CACHE", str(tmp_path / "cache"))
    save_tiny_model(tmp_path / "guard", "llama")
    write_samples(tmp_path / "train.jsonl", 40)
    asked: list[int] = []

    def is_stopped() -> bool:  # within every step; by the third everything is compiled
        asked.append(len(asked))
        torch.cuda.set_sync_debug_mode("error" if 3 <= len(asked) < 10 else "default")
        return False

    try:
        tune(config(tmp_path, steps=12, row_tokens=256, save_every=12, **changes), tmp_path / "run", print, is_stopped)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(asked) == 12
