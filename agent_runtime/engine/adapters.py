"""LoRA adapters as PEFT saves them: where they lie, whose they are, and how they become part of the weights."""

import importlib
import importlib.util
import json
import warnings
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from agent_runtime.engine.card import CARD, read_card
from agent_runtime.engine.digests import canonical_json, digest_of, file_digest, files_digest
from agent_runtime.engine.errors import BrokenModel, MissingPackage, ModelNotFound
from agent_runtime.engine.sources import Location, first_line, folder_of, place_of, weight_files


def adapter_folder(adapter: Path) -> Path:
    """Return an adapter's folder. Raises ModelNotFound, BrokenModel, or MissingPackage without PEFT."""
    folder = adapter.expanduser()
    if not folder.is_dir():
        raise ModelNotFound(str(adapter), "no such folder", "Name the folder that PEFT saved the adapter in.")
    if not (folder / "adapter_config.json").is_file() or not _adapter_files(folder):
        raise BrokenModel(
            str(adapter),
            "the folder has no adapter_config.json or no adapter_model.safetensors",
            "Name the folder that PEFT saved the adapter in.",
        )
    if importlib.util.find_spec("peft") is None:
        raise MissingPackage("peft", "An adapter", 'pip install "hotseat[tuning]"')
    return folder


def _adapter_files(folder: Path) -> list[Path]:
    return [file for name in ("adapter_model.safetensors", "adapter_model.bin") if (file := folder / name).is_file()][
        :1
    ]


def adapter_digest(folder: Path, cache: Path) -> str:
    """Return the digest of an adapter's weights and of how they are applied."""
    config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    config.pop("base_model_name_or_path", None)
    return digest_of(files_digest(_adapter_files(folder), cache), canonical_json(config))


def merged(model: PreTrainedModel, adapter: Path) -> PreTrainedModel:
    """Return the model with an adapter added to its weights. Raises BrokenModel if it does not fit."""
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
        raise BrokenModel(
            str(adapter), f"it does not fit the model: {first_line(error)}", "Name an adapter of this model."
        ) from error
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


def base_digest(source: str, cache: Path) -> str:
    """Return the digest of a source's weights as they came: of a GGUF file itself, whatever it is unpacked to.

    Raises ModelNotFound or BrokenModel.
    """
    place = place_of(source)
    if isinstance(place, Path) and place.is_file():
        return file_digest(place, cache)
    folder = place if isinstance(place, Path) else folder_of(Location(source, source, source))
    return files_digest(weight_files(folder), cache)


def check_base(adapter: Path, source: str, cache: Path) -> None:
    """Raise BrokenModel if an adapter's card names other weights than those of `source`."""
    base = read_card(adapter / CARD).base
    if base is not None and base != base_digest(source, cache):
        raise BrokenModel(
            str(adapter),
            f"it was tuned for other weights than {source!r}",
            "Name the model it belongs to, or an adapter of this one.",
        )
