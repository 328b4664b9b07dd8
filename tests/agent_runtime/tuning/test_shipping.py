"""What is shipped is the adapter in half its size, of which nobody learns where it was tuned."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from agent_runtime.engine.adapters import adapter_digest, is_plain
from agent_runtime.engine.card import Card, write_card
from agent_runtime.engine.errors import BrokenModel
from agent_runtime.tuning.errors import NotTrainable
from agent_runtime.tuning.shipping import ship
from tests.tiny_models import save_tiny_adapter


def changed(folder: Path, **changes: object) -> None:
    file = folder / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_weights_are_rounded_paths_left_out_and_the_card_kept_but_for_their_digest(tmp_path: Path) -> None:
    tuned = save_tiny_adapter(tmp_path / "tuned", base="12ab")
    modules = ["v_proj", "q_proj", "k_proj"]  # a set to PEFT: the same adapter comes in any order
    changed(tuned, base_model_name_or_path="/home/someone/cache", target_modules=modules)
    (tuned / "hotseat.json").write_text('{"block_modes": ["star"], "base": "12ab", "recipe": "two phases"}')
    size = ship(tuned, tmp_path / "shipped")
    files = sorted((tmp_path / "shipped").iterdir())
    assert [file.name for file in files] == ["adapter_config.json", "adapter_model.safetensors", "hotseat.json"]
    assert size == sum(file.stat().st_size for file in files)
    before, after = (load_file(folder / "adapter_model.safetensors") for folder in (tuned, tmp_path / "shipped"))
    assert all(torch.equal(after[name], weight.bfloat16()) for name, weight in before.items())
    assert b"someone" not in b"".join(file.read_bytes() for file in files)
    kept, card = (json.loads((folder / "hotseat.json").read_text()) for folder in (tuned, tmp_path / "shipped"))
    assert card == {**kept, "digest": adapter_digest(tmp_path / "shipped")}
    assert is_plain(tmp_path / "shipped")
    shipped = json.loads((tmp_path / "shipped" / "adapter_config.json").read_text())
    assert shipped["target_modules"] == sorted(modules)


def test_what_could_not_be_served_by_everybody_is_not_shipped(tmp_path: Path) -> None:
    with pytest.raises(NotTrainable, match="names the weights it belongs to"):
        ship(save_tiny_adapter(tmp_path / "tuned"), tmp_path / "shipped")
    changed(save_tiny_adapter(tmp_path / "tuned", base="12ab"), use_rslora=True)
    with pytest.raises(NotTrainable, match="more than plain LoRA"):
        ship(tmp_path / "tuned", tmp_path / "shipped")
    assert not (tmp_path / "shipped").exists()


def test_what_is_damaged_is_not_shipped(tmp_path: Path) -> None:
    file = save_tiny_adapter(tmp_path / "tuned", base="12ab") / "adapter_model.safetensors"
    weights = load_file(file)
    name = max(weights)
    weights[name][0, 0] = torch.nan
    save_file(weights, file)
    with pytest.raises(BrokenModel, match=f"its weight {name} is damaged"):
        ship(tmp_path / "tuned", tmp_path / "shipped")
    assert not (tmp_path / "shipped").exists()


def test_a_damaged_one_is_not_shipped_as_a_whole_one(tmp_path: Path) -> None:
    tuned = save_tiny_adapter(tmp_path / "tuned")
    write_card(tuned, Card(("star",), base="12ab", digest=adapter_digest(tuned)))
    ship(tuned, tmp_path / "shipped")
    changed(tuned, lora_alpha=3)
    with pytest.raises(BrokenModel, match="not the one that it was saved with"):
        ship(tuned, tmp_path / "again")
    assert not (tmp_path / "again").exists()
