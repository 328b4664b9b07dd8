"""The low-rank adapter of a run: fresh, or that of an earlier run, from which this one goes on."""

import importlib
import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent_runtime.engine.adapters import adapter_digest, adapter_folder, check_base
from agent_runtime.engine.card import CARD, Card, read_card
from agent_runtime.engine.errors import BrokenModel
from agent_runtime.engine.sources import cache_folder, weights_are_here
from agent_runtime.tuning.config import TrainingPart, TuneConfig
from agent_runtime.tuning.errors import NotTrainable

# What PEFT would go on with, and a recipe does not say.
_NOT_OURS = ("rank_pattern", "alpha_pattern", "use_rslora", "use_dora", "lora_dropout")


@dataclass(frozen=True, slots=True)
class Start:
    """An adapter to go on from: where it lies, what it says of itself, and what it is."""

    folder: Path
    card: Card
    digest: str


def start_of(config: TuneConfig) -> Start | None:
    """Return the adapter that a run goes on from.

    Raises NotTrainable if the run asks for something else than it was made with, and ModelNotFound, BrokenModel or
    MissingPackage.
    """
    if config.adapter is None:
        return None
    folder, cache = adapter_folder(config.adapter), cache_folder()
    if weights_are_here(config.model.source):
        check_base(folder, config.model.source, cache)
    card, asked = read_card(folder / CARD), config.model
    its_theta = (card.rope_parameters or {}).get("rope_theta")
    for name, wanted, found in (
        ("model.rope_theta", asked.rope_theta, its_theta),
        ("model.context", asked.context, card.context),
    ):
        if wanted is not None and wanted != found:
            raise NotTrainable(
                f"{folder} was tuned with {name} = {found}, and this run asks for {wanted}. Leave the key out."
            )
    try:
        said = dict(json.loads((folder / "adapter_config.json").read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise BrokenModel(str(folder), "its adapter_config.json cannot be read", "Copy the adapter again.") from error
    if said.get("peft_type") != "LORA" or any(map(said.get, _NOT_OURS)):
        raise NotTrainable(
            f"{folder} is no adapter of `hotseat tune`: {', '.join(_NOT_OURS)} are none of its settings."
        )
    part = config.training
    for key, wanted, found in (
        ("lora_rank", part.lora_rank, said.get("r")),
        ("lora_alpha", part.lora_alpha, said.get("lora_alpha")),
    ):
        if wanted != found:
            raise NotTrainable(f"{folder} has {key} = {found}, and this run {wanted}. Set training.{key} to {found}.")
    return Start(folder, card, adapter_digest(folder, cache))


def with_lora(model: Any, part: TrainingPart, start: Start | None) -> Any:
    """Put low-rank adapters beside all linear layers of a model, in place; return PEFT's view of it."""
    peft = importlib.import_module("peft")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        if start is not None:
            warnings.filterwarnings("error", message="Found missing adapter keys")
            return peft.PeftModel.from_pretrained(model, str(start.folder), is_trainable=True)
        settings = peft.LoraConfig(
            r=part.lora_rank, lora_alpha=part.lora_alpha, target_modules="all-linear", task_type="CAUSAL_LM"
        )
        return peft.get_peft_model(model, settings)
