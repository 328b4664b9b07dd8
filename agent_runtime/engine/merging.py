"""Adapters become part of the weights: plain LoRA here, W + alpha / r B A in float32, whatever else by PEFT.

Shapes: I inputs and O outputs of a linear layer, R the adapter's rank.
"""

import importlib
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import PreTrainedModel

from agent_runtime.engine.adapters import PLAIN_WEIGHT, adapter_config, adapter_files, is_plain, require_peft
from agent_runtime.engine.errors import BrokenModel, first_line

_ADVICE = "Name an adapter of this model."
_AGAIN = "Copy the adapter again, or tune it again."
# What PEFT says of an adapter without some weight, and of one with a weight of another shape.
_MISSING = "Found missing adapter keys"
_SAID = re.compile(
    rf"{_MISSING}[^']*'(?P<missing>[^']+)'|size mismatch for (?P<name>\S+): (?P<shapes>[^\n]+?)\.?(\n|$)"
)


def merged(model: PreTrainedModel, adapter: Path) -> PreTrainedModel:
    """Return the model with an adapter added to its weights.

    Raises BrokenModel if it does not fit or has values that are no numbers, and MissingPackage if it is more than plain
    LoRA of plain layers and PEFT is not installed.
    """
    if is_plain(adapter) and (layers := _layers(model, adapter)) is not None:
        _add(layers, adapter)
        return model
    require_peft()
    return _merged_by_peft(model, adapter)


def with_adapter(model: PreTrainedModel, adapter: Path, *, is_trainable: bool = False) -> Any:
    """Return PEFT's view of a model with an adapter beside its weights, in place.

    Raises BrokenModel, which names the weight that is missing, does not fit, or has values that are no numbers.
    """
    check_weights(model, adapter)
    peft = importlib.import_module("peft")
    try:
        with warnings.catch_warnings():
            # PEFT leaves weights it does not find at their random start and warns.
            warnings.filterwarnings("error", message=_MISSING)
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
            return peft.PeftModel.from_pretrained(model, str(adapter), is_trainable=is_trainable)
    except Exception as error:
        raise BrokenModel(str(adapter), f"it does not fit the model: {_in_words(error)}", _ADVICE) from error


def check_weights(model: PreTrainedModel, adapter: Path) -> None:
    """Raise BrokenModel if an adapter's weights are damaged or, as far as can be told without PEFT, do not fit."""
    if is_plain(adapter) and (layers := _layers(model, adapter)) is not None:
        _fitting(layers, adapter)
    else:
        is_lora = adapter_config(adapter).get("peft_type") == "LORA"
        check_numbers(adapter, _weights_of(adapter), are_floating=is_lora)


def check_numbers(adapter: Path, weights: Mapping[str, torch.Tensor], *, are_floating: bool = True) -> None:
    """Raise BrokenModel if one of an adapter's weights has values that are not finite.

    If all `are_floating`, as LoRA's are, also if one is of no floating type; other kinds have indices among them.
    """
    for name, weight in sorted(weights.items()):
        if not weight.is_floating_point() and not are_floating:
            continue
        if not weight.is_floating_point():
            raise BrokenModel(str(adapter), f"its weight {name} is of {weight.dtype}, which no adapter is", _AGAIN)
        if num_bad := int((~weight.float().isfinite()).sum()):
            many = f"{num_bad} of its {weight.numel()} values"
            raise BrokenModel(str(adapter), f"its weight {name} is damaged: {many} are no finite numbers", _AGAIN)


def _weights_of(adapter: Path) -> dict[str, torch.Tensor]:
    """Return an adapter's weights by their names in its file. Raises BrokenModel."""
    [file] = adapter_files(adapter)
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        return dict(torch.load(file, map_location="cpu", weights_only=True))
    except Exception as error:
        raise BrokenModel(str(adapter), f"its {file.name} is torn ({first_line(error)})", _AGAIN) from error


def _in_words(error: Exception) -> str:
    """Return what PEFT has against an adapter: of several weights the first."""
    if (said := _SAID.search(str(error))) is None:
        return first_line(error)
    name = (said["missing"] or said["name"]).replace(".default", "")
    return f"it has no weight {name}" if said["missing"] else f"{name}: {said['shapes']}"


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
    scale = config["lora_alpha"] / config["r"]
    for name, (a_RI, b_OR) in _fitting(layers, adapter).items():
        layer = layers[name]
        a_RI, b_OR = (weight.to(layer.weight.device, torch.float32) for weight in (a_RI, b_OR))
        layer.weight += b_OR @ a_RI * scale


def _fitting(layers: Mapping[str, torch.nn.Linear], adapter: Path) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Return what an adapter has for each of its layers, A [R, I] and B [O, R].

    Raises BrokenModel if one is missing, of another shape or damaged, or if there is one for another layer.
    """
    rank, weights = adapter_config(adapter)["r"], _weights_of(adapter)
    check_numbers(adapter, weights)
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
    return {name: (weights[parts[name, "A"]], weights[parts[name, "B"]]) for name in layers}


def _merged_by_peft(model: PreTrainedModel, adapter: Path) -> PreTrainedModel:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*tie_word_embeddings")
            adapted = with_adapter(model, adapter)
            _untie(model)
            whole = adapted.merge_and_unload()
    except BrokenModel:
        raise
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
