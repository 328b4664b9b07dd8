"""The low-rank adapter of a run: fresh, or that of an earlier run, from which this one goes on.

Either way the model can be seen as it was before the run (`as_it_began`), which is what a run over recordings learns.
"""

import importlib
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from agent_runtime.adapter_choice import AdapterChoice
from agent_runtime.engine.adapters import adapter_config, adapter_digest, find_adapter, require_peft, way_out
from agent_runtime.engine.card import Card
from agent_runtime.engine.merging import with_adapter
from agent_runtime.engine.sources import cache_folder
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


def start_of(config: TuneConfig, *, recorded: bool = False) -> Start | None:
    """Return the adapter that a run goes on from, None if it begins with the bare weights.

    Where the configuration names none, a run over samples begins with the bare weights, and one over recordings with
    the model as it is served: with the package's own adapter, if there is one.

    Raises NotTrainable if the run asks for something else than it was made with, ModelNotFound, BrokenModel, and
    MissingPackage if an adapter is to be made, going on or not, and PEFT is not installed.
    """
    if config.training.lora_rank:
        require_peft("To tune an adapter (lora_rank above 0)")
    cache, unsaid = cache_folder(), AdapterChoice.DEFAULT if recorded else AdapterChoice.NONE
    begun = find_adapter(config.adapter or unsaid, config.model.source, cache)
    if begun is None:
        return None
    folder, card, asked = begun.folder, begun.card, config.model
    its_theta = (card.rope_parameters or {}).get("rope_theta")
    for name, wanted, found in (
        ("model.rope_theta", asked.rope_theta, its_theta),
        ("model.context", asked.context, card.context),
    ):
        if wanted is not None and wanted != found:
            raise NotTrainable(
                f"{folder} was tuned with {name} = {found}, and this run asks for {wanted}. Leave the key out."
            )
    said = adapter_config(folder)
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
            raise NotTrainable(
                f"{folder} has {key} = {found}, and this run {wanted}. Set training.{key} to {found}, or model.adapter "
                'to "none", which begins with the bare weights.'
            )
    return Start(folder, card, adapter_digest(folder))


def with_lora(model: Any, part: TrainingPart, start: Start | None) -> Any:
    """Put low-rank adapters beside all linear layers of a model, in place; return PEFT's view of it.

    Raises BrokenModel, which names the weight, if the adapter to go on from lacks one or has one that cannot be.
    """
    peft = importlib.import_module("peft")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        if start is not None:
            with way_out(start.folder):
                return with_adapter(model, start.folder, is_trainable=True)
        settings = peft.LoraConfig(
            r=part.lora_rank, lora_alpha=part.lora_alpha, target_modules="all-linear", task_type="CAUSAL_LM"
        )
        return peft.get_peft_model(model, settings)


def as_it_began(adapted: Any, start: Start | None) -> Callable[[], AbstractContextManager[None]]:
    """Return what shows a model, inside a `with`, as it was before the run: bare, or with the adapter it goes on from.

    To be called before anything is trained or taken up again. Nothing that is shown may be trained.
    """
    if start is None:
        disabled: Callable[[], AbstractContextManager[None]] = adapted.disable_adapter
        return disabled
    weights = _trained(adapted)
    return _showing(weights, [weight.detach().clone() for weight in weights])


def as_bare(adapted: Any) -> Callable[[], AbstractContextManager[None]]:
    """Return what shows a model, inside a `with`, without what its adapter adds. Nothing that is shown may be trained.

    The same is computed as with the adapter, by weights that are 0: what was compiled for one serves the other.
    """
    weights = _trained(adapted)
    return _showing(weights, [torch.zeros_like(weight) for weight in weights])


def _trained(adapted: Any) -> list[torch.nn.Parameter]:
    return [weight for weight in adapted.parameters() if weight.requires_grad]


def _showing(
    weights: list[torch.nn.Parameter], values: list[torch.Tensor]
) -> Callable[[], AbstractContextManager[None]]:
    @contextmanager
    def shown() -> Iterator[None]:
        trained = [weight.data for weight in weights]
        _exchange(weights, values)
        try:
            yield
        finally:
            _exchange(weights, trained)

    return shown


def _exchange(weights: list[torch.nn.Parameter], values: list[torch.Tensor]) -> None:
    for weight, value in zip(weights, values, strict=True):
        weight.data = value
