"""What an adapter brings with it: its block modes, the weights it belongs to, its rotary parameters and its context."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from agent_runtime.adapter_choice import Adapter, AdapterChoice
from agent_runtime.engine.adapters import base_digest
from agent_runtime.engine.card import NO_CARD, Card, read_card, write_card
from agent_runtime.engine.errors import BrokenModel
from agent_runtime.engine.loading import LoadedModel, ModelSpec, load_model
from agent_runtime.engine.positions import Positions
from agent_runtime.engine.text import Lead
from tests.tiny_models import save_tiny_model, tiny_model

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
ROPE = {"rope_type": "default", "rope_theta": 500_000.0}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    save_tiny_model(tmp_path / "guard", "llama")
    return tmp_path / "guard"


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    peft = pytest.importorskip("peft")
    with torch.random.fork_rng():
        torch.manual_seed(1)
        config = peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
        peft.get_peft_model(tiny_model("llama"), config).save_pretrained(tmp_path / "tuned")
    return tmp_path / "tuned"


def load(base: Path, adapter: Adapter, tmp_path: Path, **options: object) -> LoadedModel:
    return load_model(ModelSpec(str(base), adapter=adapter, device="cpu", **options), tmp_path / "cache")  # type: ignore[arg-type]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    card = Card(
        ("anchored", "star"), "12ab", ROPE, 32_768, Positions.SHARED, Lead.LABEL, "34cd", {"recipe": "dual mode"}
    )
    write_card(tmp_path, card)
    assert read_card(tmp_path / "hotseat.json") == replace(card, more={})
    write_card(tmp_path, Card(("star",)))
    assert read_card(tmp_path / "hotseat.json") == Card(("star",))
    assert read_card(tmp_path / "nothing.json") == read_card(None) == NO_CARD


@pytest.mark.parametrize(
    "said",
    ['"base": 1', '"digest": 1', '"context": "long"', '"rope_parameters": []', '"context": true', '"context": 0'],
)
def test_a_card_with_a_value_of_another_kind_is_refused(tmp_path: Path, said: str) -> None:
    (tmp_path / "hotseat.json").write_text('{"block_modes": [], ' + said + "}")
    with pytest.raises(BrokenModel, match=said.split('"')[1]):
        read_card(tmp_path / "hotseat.json")


@pytest.mark.parametrize("said", ['"positions": "random"', '"lead": "trumpet"'])
def test_a_card_of_a_later_version_is_refused(tmp_path: Path, said: str) -> None:
    (tmp_path / "hotseat.json").write_text('{"block_modes": [], ' + said + "}")
    with pytest.raises(BrokenModel, match="does not know") as refused:
        read_card(tmp_path / "hotseat.json")
    assert "newer version" in str(refused.value)


def test_the_context_and_the_rotary_parameters_travel_with_the_adapter(
    base: Path, adapter: Path, tmp_path: Path
) -> None:
    write_card(adapter, Card(("anchored",), base_digest(str(base), tmp_path / "cache"), ROPE, 32_768))
    plain, tuned = load(base, AdapterChoice.NONE, tmp_path), load(base, adapter, tmp_path)
    assert (plain.context_limit, tuned.context_limit) == (2_048, 32_768)
    frequencies = [made.model.get_decoder().rotary_emb.inv_freq for made in (plain, tuned)]
    assert frequencies[0][-1] > 5 * frequencies[1][-1]
    by_hand = load(
        base, AdapterChoice.NONE, tmp_path, overrides={"rope_parameters": ROPE, "max_position_embeddings": 32_768}
    )
    assert torch.equal(by_hand.model.get_decoder().rotary_emb.inv_freq, frequencies[1])
    assert len({plain.digest, tuned.digest, by_hand.digest}) == 3
    write_card(adapter, Card(("anchored",)))
    assert load(base, adapter, tmp_path).digest != tuned.digest


def test_an_adapter_of_other_weights_of_the_same_shape_is_refused(base: Path, adapter: Path, tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "other", "llama", seed=9)
    write_card(adapter, Card(("anchored",), base_digest(str(tmp_path / "other"), tmp_path / "cache")))
    with pytest.raises(BrokenModel, match="tuned for other weights than"):
        load(base, adapter, tmp_path)
    assert load(tmp_path / "other", adapter, tmp_path).block_modes == ("anchored",)
