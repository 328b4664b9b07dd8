"""Adapters become part of the weights: plain LoRA here, W + alpha / r B A in float32, whatever else by PEFT.

Shapes: I inputs and O outputs of a linear layer, R the adapter's rank.
"""

import importlib
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import PreTrainedModel

from agent_runtime.engine.adapters import PLAIN_WEIGHT, WEIGHTS, adapter_config, is_plain, require_peft
from agent_runtime.engine.errors import BrokenModel, first_line

_ADVICE = "Name an adapter of this model."


def merged(model: PreTrainedModel, adapter: Path) -> PreTrainedModel:
    """Return the model with an adapter added to its weights.

    Raises BrokenModel if it does not fit, and MissingPackage if it is more than plain LoRA of plain layers and PEFT is
    not installed.
    """
    if is_plain(adapter) and (layers := _layers(model, adapter)) is not None:
        _add(layers, adapter)
        return model
    require_peft()
    return _merged_by_peft(model, adapter)


def _layers(model: PreTrainedModel, adapter: Path) -> dict[str, torch.nn.Linear] | None:
    """Return the layers that an adapter changes by name, None if one of them is not plain. Raises BrokenModel."""
    targets = adapter_config(adapter)["target_modules"]
    found = {
        name: module
        for name, module in model.named_modules()
        if any(name == target or name.endswith(f".{target}") for target in targets)
    }
    head = model.get_output_embeddings()
    is_tied = head is not None and head.weight is model.get_input_embeddings().weight
    if getattr(model, "hf_quantizer", None) is not None or (is_tied and head in found.values()):
        return None
    layers = {name: module for name, module in found.items() if _is_plain_layer(module)}
    return layers if layers and len(layers) == len(found) else None


def _is_plain_layer(module: torch.nn.Module) -> bool:
    # By type, not isinstance: whoever derives from Linear keeps its weight in another form.
    return type(module) is torch.nn.Linear and type(module.weight) is torch.nn.Parameter and not module.weight.is_meta


@torch.no_grad()
def _add(layers: dict[str, torch.nn.Linear], adapter: Path) -> None:
    """Add an adapter to all its layers, or to none. Raises BrokenModel."""
    config = adapter_config(adapter)
    rank, scale = config["r"], config["lora_alpha"] / config["r"]
    weights = load_file(adapter / WEIGHTS)
    parts = {(match["layer"], match["part"]): name for name in weights if (match := PLAIN_WEIGHT.fullmatch(name))}
    wanted = {(name, part) for name in layers for part in "AB"}
    if differing := sorted(wanted ^ set(parts)):
        layer, part = differing[0]
        what = "has no weight" if differing[0] in wanted else "has a weight"
        raise BrokenModel(str(adapter), f"it does not fit the model: it {what} lora_{part} for {layer}", _ADVICE)
    for name, layer in layers.items():
        shapes = tuple(tuple(weights[parts[name, part]].shape) for part in "AB")
        if shapes != ((rank, layer.in_features), (layer.out_features, rank)):
            why = f"it does not fit the model: {name} takes {layer.in_features} values to {layer.out_features}"
            raise BrokenModel(str(adapter), f"{why}, and lora_A and lora_B are {shapes[0]} and {shapes[1]}", _ADVICE)
    for name, layer in layers.items():
        a_RI, b_OR = (weights[parts[name, part]].to(layer.weight.device, torch.float32) for part in "AB")
        layer.weight += b_OR @ a_RI * scale


def _merged_by_peft(model: PreTrainedModel, adapter: Path) -> PreTrainedModel:
    peft = importlib.import_module("peft")
    try:
        with warnings.catch_warnings():
            # PEFT leaves weights it does not find at their random start and warns.
            warnings.filterwarnings("error", message="Found missing adapter keys")
            warnings.filterwarnings("ignore", message=".*tie_word_embeddings")
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
            adapted = peft.PeftModel.from_pretrained(model, str(adapter))
            _untie(model)
            whole = adapted.merge_and_unload()
    except Exception as error:
        raise BrokenModel(str(adapter), f"it does not fit the model: {first_line(error)}", _ADVICE) from error
    assert isinstance(whole, PreTrainedModel)
    return whole


def _untie(model: PreTrainedModel) -> None:
    """Give a head weights of its own if it shares the embedding's and an adapter changes either.

    Merging would change both: what the adapter says of the head would be in the embedding too.
    """
    modules: list[Any] = [model.get_output_embeddings(), model.get_input_embeddings()]
    head, embedding = (getattr(module, "base_layer", module) for module in modules)
    if [head, embedding] != modules and head is not None and head.weight is embedding.weight:
        head.weight = torch.nn.Parameter(head.weight.detach().clone(), requires_grad=False)
        model.config.tie_word_embeddings = False
