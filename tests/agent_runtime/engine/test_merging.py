"""Plain LoRA is merged as PEFT does it, to the bit, and without it; what is not plain is PEFT's."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from agent_runtime.engine import merging
from agent_runtime.engine.adapters import is_plain
from agent_runtime.engine.errors import BrokenModel, MissingPackage
from agent_runtime.engine.merging import check_numbers, merged, with_adapter
from tests.tiny_models import save_tiny_adapter, tiny_model

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
IDS = torch.arange(3, 60)[None]


def no_peft(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "peft"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr("agent_runtime.engine.adapters.importlib.util.find_spec", lambda name: None)


@pytest.mark.parametrize("of_weights", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("of_adapter", [torch.float32, torch.bfloat16])
def test_it_is_pefts_merge(tmp_path: Path, of_weights: torch.dtype, of_adapter: torch.dtype) -> None:
    peft = pytest.importorskip("peft")
    folder = save_tiny_adapter(tmp_path / "brave", rank=4, alpha=6, dtype=of_adapter)
    ours = merged(tiny_model("llama").to(of_weights), folder)
    theirs = peft.PeftModel.from_pretrained(tiny_model("llama").to(of_weights), str(folder)).merge_and_unload()
    plain, weights = tiny_model("llama").to(of_weights).state_dict(), theirs.state_dict()
    assert {*ours.state_dict()} == {*weights}
    assert all(torch.equal(weight, weights[name]) for name, weight in ours.state_dict().items())
    changed = {name for name, weight in weights.items() if not torch.equal(weight, plain[name])}
    assert len(changed) == 9 and all(name.split(".")[-2] in ("q_proj", "v_proj", "down_proj") for name in changed)
    with torch.inference_mode():
        assert torch.equal(ours(IDS).logits, theirs(IDS).logits)


def test_an_adapter_that_peft_saved_is_plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    peft = pytest.importorskip("peft")
    with torch.random.fork_rng():
        torch.manual_seed(1)
        config = peft.LoraConfig(
            r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False
        )
        trained = peft.get_peft_model(tiny_model("llama"), config).eval()
    trained.save_pretrained(tmp_path / "brave")
    no_peft(monkeypatch)
    with torch.inference_mode():
        assert torch.allclose(
            merged(tiny_model("llama"), tmp_path / "brave")(IDS).logits, trained(IDS).logits, atol=1e-3
        )
    assert "peft" not in sys.modules


def test_what_is_not_plain_needs_peft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, head = save_tiny_adapter(tmp_path / "brave"), save_tiny_adapter(tmp_path / "head")
    weights = {f"base_model.model.lm_head.lora_{part}.weight": torch.ones(shape) for part, shape in HEAD.items()}
    save_file(weights, head / "adapter_model.safetensors")
    change(head, target_modules=["lm_head"])
    tied, quantized = tiny_model("llama"), tiny_model("llama")
    tied.lm_head.weight = tied.get_input_embeddings().weight
    quantized.hf_quantizer = object()
    dora = save_tiny_adapter(tmp_path / "dora")
    change(dora, use_dora=True)
    no_peft(monkeypatch)
    for model, adapter in ((tied, head), (quantized, folder), (tiny_model("llama"), dora)):
        before = {name: weight.clone() for name, weight in model.state_dict().items()}
        with pytest.raises(MissingPackage, match=r"pip install \"hotseat\[tuning\]\""):
            merged(model, adapter)
        assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    assert merged(tiny_model("llama"), head) is not None, "a head with weights of its own is a layer like any other"


HEAD = {"A": (2, 64), "B": (512, 2)}


def change(folder: Path, **changes: Any) -> None:
    file = folder / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


@pytest.mark.parametrize(
    ("rename", "said"),
    [
        (lambda name: name.replace("layers.2", "layers.9"), "has no weight lora_A for model.layers.2"),
        (lambda name: name.replace("q_proj", "o_proj"), "has a weight lora_A for model.layers.0.self_attn.o_proj"),
        (lambda name: name.replace("down_proj", "up_proj"), "model.layers.0.mlp"),
    ],
)
def test_an_adapter_of_another_model_is_refused_with_nothing_done(tmp_path: Path, rename: Any, said: str) -> None:
    folder = save_tiny_adapter(tmp_path / "brave")
    file, model = folder / "adapter_model.safetensors", tiny_model("llama")
    save_file({rename(name): weight for name, weight in load_file(file).items()}, file)
    with pytest.raises(BrokenModel, match=f"does not fit the model.*{said}"):
        merged(model, folder)
    plain = tiny_model("llama").state_dict()
    assert all(torch.equal(weight, plain[name]) for name, weight in model.state_dict().items())


NAME = "base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight"
Weights = dict[str, torch.Tensor]


def cut(weights: Weights) -> None:
    weights[NAME] = weights[NAME][:, :1].contiguous()


def flat(weights: Weights) -> None:
    weights[NAME] = weights[NAME].flatten()


def no_number(weights: Weights) -> None:
    weights[NAME][3, 1] = float("nan")


def infinite(weights: Weights) -> None:
    weights[NAME][3:5, 1] = float("-inf")


def whole_numbers(weights: Weights) -> None:
    weights[NAME] = weights[NAME].to(torch.int8)


def lacking(weights: Weights) -> None:
    del weights[NAME]


def test_indices_are_weights_of_other_kinds_than_lora(tmp_path: Path) -> None:
    indices = {"shira_indices": torch.arange(4, dtype=torch.int32)}
    check_numbers(tmp_path, indices, are_floating=False)
    with pytest.raises(BrokenModel, match=r"shira_indices is of torch\.int32"):
        check_numbers(tmp_path, indices)


@pytest.mark.parametrize(
    ("damage", "said", "to_do"),
    [
        (
            no_number,
            f"its weight {NAME} is damaged: 1 of its 128 values are no",
            "Copy the adapter again",
        ),
        (infinite, f"its weight {NAME} is damaged: 2 of its 128 values", "Copy the adapter again"),
        (whole_numbers, rf"its weight {NAME} is of torch\.int8", "Copy the adapter again"),
        (lacking, r"it has no weight .*layers\.1\.self_attn\.q_proj", "Name an adapter of this model"),
        (cut, r"layers\.1\.self_attn\.q_proj.*64, 1", "Name an adapter of this model"),
        (flat, r"layers\.1\.self_attn\.q_proj.*128", "Name an adapter of this model"),
    ],
)
@pytest.mark.parametrize("changes", [{}, {"use_rslora": True}])
def test_a_weight_that_lacks_or_is_damaged_is_named_with_what_to_do(
    tmp_path: Path, damage: Any, said: str, to_do: str, changes: dict[str, Any]
) -> None:
    """Whether it is merged here or by PEFT, and where a run goes on from it."""
    pytest.importorskip("peft")
    folder = save_tiny_adapter(tmp_path / "brave")
    change(folder, **changes)
    assert is_plain(folder) != bool(changes)
    file = folder / "adapter_model.safetensors"
    weights = load_file(file)
    damage(weights)
    save_file(weights, file, metadata={"format": "pt"})
    for load in (merged, with_adapter):
        with pytest.raises(BrokenModel, match=f"brave.*{said}.*{to_do}"):
            load(tiny_model("llama"), folder)


@pytest.mark.parametrize("is_torn", [True, False])
def test_what_peft_saved_by_torch_is_looked_at_too(tmp_path: Path, is_torn: bool) -> None:
    pytest.importorskip("peft")
    folder = save_tiny_adapter(tmp_path / "brave")
    weights = load_file(folder / "adapter_model.safetensors")
    (folder / "adapter_model.safetensors").unlink()
    file = folder / "adapter_model.bin"
    torch.save(weights, file)
    merged(tiny_model("llama"), folder)
    if is_torn:
        file.write_bytes(file.read_bytes()[:-200])
    else:
        no_number(weights)
        torch.save(weights, file)
    with pytest.raises(BrokenModel, match="adapter_model.bin is torn" if is_torn else f"{NAME} is damaged"):
        merged(tiny_model("llama"), folder)


def test_one_of_other_sizes_is_refused(tmp_path: Path) -> None:
    folder = save_tiny_adapter(tmp_path / "brave")
    change(folder, r=4)
    with pytest.raises(BrokenModel, match="q_proj takes 64 values to 64, and lora_A and lora_B are"):
        merged(tiny_model("llama"), folder)
    assert merging.is_plain(folder)
