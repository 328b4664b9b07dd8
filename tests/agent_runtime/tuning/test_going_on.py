"""What a run begins from, an adapter or weights with a card, and when an earlier one is taken up or refused."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from agent_runtime.engine.card import CARD, Card, read_card, write_card
from agent_runtime.engine.errors import BrokenModel
from agent_runtime.engine.loading import ModelSpec, load_model
from agent_runtime.engine.positions import Positions
from agent_runtime.engine.text import Lead
from agent_runtime.tuning.errors import NotTrainable, OtherRun
from tests.agent_runtime.tuning.test_training import config, home, on_a_cpu, run
from tests.tiny_models import save_tiny_model

__all__ = ["home", "on_a_cpu"]
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")


def test_where_blocks_stand_and_what_leads_them_is_on_the_card_and_in_force_when_it_is_loaded(home: Path) -> None:
    result, _ = run(config(home, steps=1, positions="shared", lead="label"), home / "run")
    assert result.made is not None
    loaded = load_model(ModelSpec(str(home / "guard"), adapter=result.made), home / "cache")
    assert (loaded.positions, loaded.text.lead) == (Positions.SHARED, Lead.LABEL)
    bare = load_model(ModelSpec(str(home / "guard")), home / "cache")
    assert loaded.text.block_ids("a")[2:] == bare.text.block_ids("a")
    assert loaded.tokenizer_digest != bare.tokenizer_digest
    further, _ = run(config(home, steps=1, adapter="run/adapter"), home / "further")
    other, _ = run(config(home, steps=1, adapter="run/adapter", lead="none"), home / "other")
    cards = [read_card(each.made / CARD) for each in (further, other) if each.made is not None]
    assert [(card.positions, card.lead) for card in cards] == [
        (Positions.SHARED, Lead.LABEL),
        (Positions.SHARED, Lead.NONE),
    ]


def test_weights_with_a_card_are_tuned_as_they_are_served(home: Path) -> None:
    write_card(home / "guard", Card(("star",), positions=Positions.SHARED, lead=Lead.LABEL))
    said, _ = run(config(home, steps=1, positions="sequential", lead="none"), home / "said")
    unsaid, _ = run(config(home, steps=1), home / "unsaid")
    assert said.made is not None and unsaid.made is not None
    card, other = read_card(unsaid.made / CARD), read_card(said.made / CARD)
    assert (card.positions, card.lead) == (Positions.SHARED, Lead.LABEL)
    assert (other.positions, other.lead) == (Positions.SEQUENTIAL, Lead.NONE)


@pytest.mark.parametrize("change", [{"positions": Positions.SHARED}, {"lead": Lead.SEPARATOR}])
@pytest.mark.parametrize("whose", ["guard", "first/adapter"])
def test_a_run_whose_start_got_another_card_is_not_taken_up(home: Path, whose: str, change: dict[str, Any]) -> None:
    run(config(home, steps=1), home / "first")
    named = {} if whose == "guard" else {"adapter": whose}
    run(config(home, **named), home / "second", stop_after=2)
    began = json.loads((home / "second" / "run.json").read_text())
    assert began["card"] == {"positions": "sequential", "lead": "none"}
    write_card(home / whose, replace(read_card(home / whose / CARD), **change))
    with pytest.raises(OtherRun):
        run(config(home, **named), home / "second")
    # What is said and what is found are told apart.
    with pytest.raises(OtherRun, match="training.positions: not said there, sequential here"):
        run(config(home, positions="sequential", lead="none", **named), home / "second")


def test_a_run_begun_before_cards_were_noted_is_taken_up(home: Path) -> None:
    run(config(home), home / "run", stop_after=2)
    file = home / "run" / "run.json"
    file.write_text(json.dumps({key: value for key, value in json.loads(file.read_text()).items() if key != "card"}))
    assert run(config(home), home / "run")[0].step == 12
    assert json.loads(file.read_text())["card"] == {"positions": "sequential", "lead": "none"}


def test_a_run_begun_before_there_were_some_keys_is_taken_up_as_it_was(home: Path) -> None:
    run(config(home), home / "run", stop_after=2)
    file = home / "run" / "run.json"
    began = json.loads(file.read_text())
    for part, key in (
        ("data", "remember"),
        ("data", "splits"),
        ("data", "validation"),
        ("training", "full_every"),
        ("training", "remember_every"),
        ("training", "validate_every"),
    ):
        del began["config"][part][key]
    file.write_text(json.dumps(began))
    with pytest.raises(OtherRun, match=r"configuration \(training.full_every: 1 there, 2 here\)"):
        run(config(home, full_every=2), home / "run")
    assert run(config(home), home / "run")[0].step == 12


def test_a_run_goes_on_from_the_adapter_of_another_with_its_positions(home: Path) -> None:
    _, first = run(config(home, rope_theta=500_000.0, context=8_192, steps=20), home / "first")
    result, second = run(config(home, adapter="first/adapter", steps=3, seed=1), home / "second")
    assert second[0]["loss"] < 0.7 * first[0]["loss"]
    assert result.made is not None
    before, after = read_card(home / "first/adapter/hotseat.json"), read_card(result.made / "hotseat.json")
    assert after == replace(before, digest=after.digest) and after.context == 8_192
    load_model(ModelSpec(str(home / "guard"), adapter=result.made, device="cpu"))
    run(config(home, rope_theta=500_000.0, context=8_192, steps=20, seed=2), home / "another")
    shutil.rmtree(home / "first")
    (home / "another").rename(home / "first")
    with pytest.raises(OtherRun, match="another adapter"):
        run(config(home, adapter="first/adapter", steps=3, seed=1), home / "second")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rope_theta": 1e6}, "model.rope_theta = None, and this run asks for 1000000.0"),
        ({"context": 4_096}, "model.context = None"),
        ({"lora_rank": 8}, "Set training.lora_rank to 4"),
        ({"lora_alpha": 8}, "Set training.lora_alpha to 64"),
    ],
)
def test_a_run_that_asks_for_another_adapter_than_it_goes_on_from_is_refused(
    home: Path, changes: dict[str, Any], said: str
) -> None:
    run(config(home, steps=1), home / "first")
    with pytest.raises(NotTrainable, match=said):
        run(config(home, adapter="first/adapter", **changes), home / "second")


@pytest.mark.parametrize(
    ("changes", "error"),
    [({"peft_type": "IA3"}, NotTrainable), ({"lora_dropout": 0.5}, NotTrainable), (None, BrokenModel)],
)
def test_an_adapter_that_is_not_of_a_run_is_not_gone_on_from(home: Path, changes: Any, error: type[Exception]) -> None:
    run(config(home, steps=1), home / "first")
    file = home / "first/adapter/adapter_config.json"
    file.write_text("{" if changes is None else json.dumps({**json.loads(file.read_text()), **changes}))
    write_card(file.parent, replace(read_card(file.parent / CARD), digest=None))  # another tool's, which says none
    with pytest.raises(error, match="adapter"):
        run(config(home, adapter="first/adapter"), home / "second")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("lacks", r"it has no weight lora_A for model\.layers\.0\..*Name an adapter of this model"),
        ("nan", r"its weight .*layers\.0\..*lora_A.* is damaged: 1 of .*Copy the adapter again, or tune it again"),
    ],
)
def test_a_damaged_adapter_is_not_gone_on_from_and_its_weight_is_named(home: Path, damage: str, said: str) -> None:
    run(config(home, steps=1), home / "first")
    file = home / "first/adapter/adapter_model.safetensors"
    weights = load_file(file)
    name = min(weights)
    if damage == "lacks":
        del weights[name]
    else:
        weights[name][0, 0] = math.nan
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(BrokenModel, match="first/adapter.*not the one that it was saved with.*Copy the adapter again"):
        run(config(home, adapter="first/adapter"), home / "second")
    card = file.parent / CARD
    write_card(card.parent, replace(read_card(card), digest=None))  # as those have it that were saved before
    with pytest.raises(BrokenModel, match=f"first/adapter.*{said}"):
        run(config(home, adapter="first/adapter"), home / "second")
    assert not (home / "second").exists(), "with the adapter made whole the same command goes"


def test_an_adapter_of_other_weights_is_not_gone_on_from(home: Path) -> None:
    run(config(home, steps=1), home / "first")
    save_tiny_model(home / "other", "llama", 1)
    with pytest.raises(BrokenModel, match="tuned for other weights"):
        run(config(home, adapter="first/adapter", source=str(home / "other")), home / "second")


def test_a_run_that_was_refused_before_its_first_step_does_not_hold_its_folder(home: Path) -> None:
    with pytest.raises(NotTrainable, match="row_tokens"):
        run(config(home, row_tokens=20), home / "run")
    assert (home / "run" / "run.json").is_file()
    run(config(home), home / "run", stop_after=3)
    with pytest.raises(OtherRun, match=r"another configuration \(training.steps: 12 there, 13 here\)\."):
        run(config(home, steps=13), home / "run")
