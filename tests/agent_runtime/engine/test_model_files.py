"""agent_runtime.engine.model_files: which files hold a model's weights, and whether all of a model is there."""

import json
from pathlib import Path

import pytest

from agent_runtime.engine.model_files import has_tokenizer, is_whole, weight_files
from tests.tiny_models import save_tiny_model, tiny_model, tiny_tokenizer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_tiny_model(tmp_path / "guard")


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    tiny_model("llama").save_pretrained(tmp_path / "sharded", max_shard_size="50KB")
    tiny_tokenizer().save_pretrained(tmp_path / "sharded")
    return tmp_path / "sharded"


def test_weights_lie_in_one_file_or_in_several(folder: Path, sharded: Path, tmp_path: Path) -> None:
    assert weight_files(folder) == (folder / "model.safetensors",)
    assert len(weight_files(sharded)) > 1
    assert weight_files(tmp_path) == ()


def test_a_saved_model_is_whole(folder: Path, sharded: Path) -> None:
    assert is_whole(folder) and is_whole(sharded)


def test_without_one_of_its_files_it_is_not(folder: Path) -> None:
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        held = (folder / name).read_bytes()
        (folder / name).unlink()
        assert not is_whole(folder)
        (folder / name).write_bytes(held[:-2] if name != "tokenizer.json" else b"")
        assert not is_whole(folder)
        (folder / name).write_bytes(held)
        assert is_whole(folder)


def test_without_a_shard_or_the_index_it_is_not(sharded: Path) -> None:
    index = sharded / "model.safetensors.index.json"
    for file in (weight_files(sharded)[0], index):
        held = file.read_bytes()
        file.unlink()
        assert not is_whole(sharded)
        file.write_bytes(held)
    for text in ("{", "[]", "{}", json.dumps({"weight_map": None})):
        index.write_text(text)
        assert not is_whole(sharded)


def test_what_is_no_configuration_is_no_model(folder: Path) -> None:
    for text in ("{}", "[]", "7", "null", "torn"):
        (folder / "config.json").write_text(text)
        assert not is_whole(folder)


def test_a_tokenizer_is_whole_without_weights_and_not_with_an_empty_file(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert has_tokenizer(folder)
    (folder / "tokenizer_config.json").write_bytes(b"")
    assert not has_tokenizer(folder) and not has_tokenizer(folder / "nowhere")
