"""Which model a bench is about, and what it is refused for."""

from pathlib import Path

import pytest
import torch

from agent_runtime.bench.asked_model import AskedModel, encoder_of, random_subject, subject_of, with_random_weights
from agent_runtime.engine.bench.errors import BadOption, TooLarge
from agent_runtime.engine.errors import ModelNotFound, UnsupportedModel
from tests.agent_runtime.bench.worlds import CONTEXT, write_geometry
from tests.tiny_models import save_tiny_model


@pytest.fixture(scope="module")
def geometry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_geometry(tmp_path_factory.mktemp("geometry"))


def test_a_geometry_has_random_weights_and_they_are_equal_every_time(geometry: Path) -> None:
    asked = AskedModel(geometry=str(geometry), device="cpu")
    subject = subject_of(asked)
    assert (subject.weights, subject.dtype) == ("random", torch.float32)
    text = encoder_of(asked, subject.config)
    one, same = (with_random_weights(subject, text) for _ in range(2))
    assert one.digest == same.digest and one.context_limit == CONTEXT and one.block_modes == ()
    for weight, other in zip(one.model.parameters(), same.model.parameters(), strict=True):
        assert torch.equal(weight, other)


def test_a_models_own_geometry_may_have_random_weights(tmp_path: Path) -> None:
    folder = str(save_tiny_model(tmp_path / "model"))
    drawn, loaded = (subject_of(AskedModel(folder, random_weights=each, device="cpu")) for each in (True, False))
    assert (drawn.weights, loaded.weights) == ("random", "loaded")
    assert drawn.config.hidden_size == loaded.config.hidden_size
    assert loaded.model is not None and loaded.made() is loaded.model


def test_a_tokenizer_has_to_fit_the_geometry(tmp_path: Path, geometry: Path) -> None:
    few = AskedModel(geometry=str(write_geometry(tmp_path / "few", vocab_size=128)), device="cpu")
    with pytest.raises(BadOption, match="has 4.. tokens and the geometry 128: name a folder"):
        encoder_of(few, random_subject(few).config)
    bare = write_geometry(tmp_path / "bare")
    (bare / "tokenizer.json").unlink()
    named = AskedModel(geometry=str(bare), tokenizer=str(geometry), device="cpu")
    assert encoder_of(named, random_subject(named).config).count("A guard stands at the gate.") > 0
    nowhere = AskedModel(str(tmp_path / "none"), geometry=str(bare), device="cpu")
    with pytest.raises(ModelNotFound):
        encoder_of(nowhere, random_subject(nowhere).config)


def test_models_that_blocks_cannot_be_computed_with_are_refused(tmp_path: Path) -> None:
    windowed = write_geometry(tmp_path / "windowed", sliding_window=64)
    with pytest.raises(UnsupportedModel, match="sliding window"):
        subject_of(AskedModel(geometry=str(windowed), device="cpu"))


def test_a_model_that_memory_does_not_hold_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent_runtime.engine.bench.subject.memory_of", lambda device: 1000)
    monkeypatch.setattr("agent_runtime.bench.asked_model.load_model", lambda spec: pytest.fail("it was loaded"))
    with pytest.raises(TooLarge, match="of weights"):
        subject_of(AskedModel(str(save_tiny_model(tmp_path / "model")), device="cpu"))
