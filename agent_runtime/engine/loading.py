"""Weights and tokenizer from where they lie, with everything a block key needs to know about them.

A model's digest names the contents of its weight files, its configuration, the adapter merged into it, and how it was
loaded. Two models with one digest compute the same keys and values.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import torch
import transformers
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

from agent_runtime.adapter_choice import Adapter, AdapterChoice
from agent_runtime.engine.adapters import adapter_digest, check_base, find_adapter, way_out
from agent_runtime.engine.admission import check_config
from agent_runtime.engine.bars import no_bars
from agent_runtime.engine.card import own_card
from agent_runtime.engine.compute_thread import computed, without_team
from agent_runtime.engine.cpu_products import choose_products
from agent_runtime.engine.devices import fitting, require_device, unused_gpu
from agent_runtime.engine.digests import canonical_json, digest_of, files_digest
from agent_runtime.engine.errors import BrokenModel, EngineError, ModelNotFound, first_line
from agent_runtime.engine.merging import merged
from agent_runtime.engine.model_files import weight_files
from agent_runtime.engine.positions import Positions
from agent_runtime.engine.sources import (
    EMBEDDED,
    Location,
    cache_folder,
    folder_of,
    locate,
)
from agent_runtime.engine.text import TextEncoder

_log = logging.getLogger(__name__)

_FORMAT = "hotseat-weights-1"
_SMALLER = (
    "Take a smaller model or dtype (--dtype bfloat16), quantize it, or spread it over several GPUs (--device-map auto)."
)
# What a configuration says about its file, not about the model.
_INCIDENTAL = frozenset({"_name_or_path", "transformers_version", "dtype", "torch_dtype"})


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Which model, and how to load it. `dtype` "auto" is float32 on a CPU and bfloat16 on a GPU.

    `source` is "embedded", a folder, a GGUF file or a hub name; `adapter` a LoRA folder, merged into the weights,
    or what an `AdapterChoice` says: by default the embedded model gets the adapter that the package brings, if any.
    `device` None takes the GPU if there is one; `device_map` (accelerate) and `quantization_config` go to transformers
    as they are. `overrides` take the place of values of the model's configuration; an adapter's card has its own.
    """

    source: str = EMBEDDED
    adapter: Adapter = AdapterChoice.DEFAULT
    dtype: str = "auto"
    device: str | None = None
    device_map: str | Mapping[str, Any] | None = None
    quantization_config: Any = None
    overrides: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class LoadedModel:
    """A model in eval mode and what the runtime needs to know of it. Sizes are those of one token's keys and values.

    `block_modes` are the block modes that the card of these weights (of the adapter, where there is one) declares, and
    `positions` is where blocks stand in them.
    `device` is where ids go in and logits come out, `num_logits` the width of the latter. `digest` covers everything,
    the adapter too, which has one of its own if there is one.
    """

    model: PreTrainedModel
    text: TextEncoder
    name: str
    block_modes: tuple[str, ...]
    positions: Positions
    digest: str
    context_limit: int
    num_layers: int
    num_kv_heads: int
    head_dim: int
    num_logits: int
    kv_dtype: torch.dtype
    device: torch.device
    adapter_digest: str | None = None

    @property
    def block_tuned(self) -> bool:
        """Return whether the weights were tuned for any block mode."""
        return bool(self.block_modes)

    @property
    def tokenizer_digest(self) -> str:
        """Return the digest of vocabulary and layout."""
        return self.text.digest


def load_model(spec: ModelSpec, cache: Path | None = None) -> LoadedModel:
    """Load what `spec` names.

    Raises ModelNotFound, BrokenModel, UnsupportedModel, BadChatTemplate, MissingPackage, NoCuda or DeviceTooSmall.
    Where torch cannot use the GPU that there is, and none was asked for, the log says why it is the CPU.

    Code that comes with a model is never run. `cache` holds unpacked GGUF files and digests.
    """
    with without_team():
        return _loaded(spec, cache or cache_folder())


def _loaded(spec: ModelSpec, cache: Path) -> LoadedModel:
    require_device(spec.device, spec.device_map)
    if spec.device is None and spec.device_map is None and (trouble := unused_gpu()) is not None:
        _log.warning("the model computes on the CPU: %s. %s.", trouble.why, trouble.advice)
    device = torch.device(spec.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    dtype = _dtype(spec, device)
    adapter = find_adapter(spec.adapter, spec.source, cache)
    location = locate(spec.source, dtype, cache)
    card = adapter.card if adapter is not None else own_card(spec.source)
    config = _config(location, {**spec.overrides, **(card.overrides if adapter is not None else {})})
    check_config(config)
    tokenizer = _tokenizer(location)
    model = _weights(spec, location, config, dtype, device)
    if adapter is not None:  # a hub's weights are here only now
        check_base(adapter.folder, spec.source, cache)
    digest_of_adapter = None if adapter is None else adapter_digest(adapter.folder)
    digest = digest_of(
        _FORMAT,
        files_digest(weight_files(folder_of(location)), cache),
        canonical_json({key: value for key, value in config.to_dict().items() if key not in _INCIDENTAL}),
        digest_of_adapter or "",
        str(dtype),
        canonical_json(spec.device_map),
        canonical_json(getattr(spec.quantization_config, "to_dict", lambda: spec.quantization_config)()),
    )
    name = location.name
    if adapter is not None:
        with way_out(adapter.folder), fitting(f"The model {location.name!r} with its adapter", _SMALLER):
            # On this thread alone: thin products wait for memory, and where cores are busy, a team waits for itself.
            model = merged(model, adapter.folder)
        name = f"{name}+{adapter.folder.resolve().name}"
    model.train(False).requires_grad_(False)
    computed(partial(choose_products, model))
    stops = model.generation_config.eos_token_id if model.generation_config else None
    sizes = config.get_text_config()
    heads = sizes.num_attention_heads
    return LoadedModel(
        model=model,
        text=TextEncoder(tokenizer, _listed(stops), lead=card.lead),
        name=name,
        block_modes=card.block_modes,
        positions=card.positions,
        digest=digest,
        context_limit=sizes.max_position_embeddings,
        num_layers=sizes.num_hidden_layers,
        num_kv_heads=getattr(sizes, "num_key_value_heads", None) or heads,
        head_dim=getattr(sizes, "head_dim", None) or sizes.hidden_size // heads,
        num_logits=sizes.vocab_size,
        kv_dtype=dtype,
        device=next(model.get_input_embeddings().parameters()).device,
        adapter_digest=digest_of_adapter,
    )


def _listed(stops: list[int] | int | None) -> list[int]:
    return stops if isinstance(stops, list) else [] if stops is None else [stops]


def _dtype(spec: ModelSpec, device: torch.device) -> torch.dtype:
    if spec.dtype == "auto":
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    dtype = getattr(torch, spec.dtype, None)
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise BrokenModel(spec.source, f"there is no dtype {spec.dtype!r}", "Use auto, float32, bfloat16 or float16.")
    return dtype


def model_config(source: str, cache: Path | None = None) -> PreTrainedConfig:
    """Return a source's own configuration. Raises ModelNotFound, BrokenModel or MissingPackage."""
    return _config(locate(source, torch.float32, cache or cache_folder()), {})


def _config(location: Location, overrides: Mapping[str, Any]) -> PreTrainedConfig:
    try:
        config = transformers.AutoConfig.from_pretrained(location.target, trust_remote_code=False)
    except Exception as error:
        _refuse(location, error)
    assert isinstance(config, PreTrainedConfig)
    for name, value in overrides.items():
        setattr(config.get_text_config(), name, value)
    return config


def _tokenizer(location: Location) -> PreTrainedTokenizerFast:
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(location.target, trust_remote_code=False)
    except Exception as error:
        _refuse(location, error)
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise BrokenModel(location.source, "its tokenizer has no fast form", "Add a tokenizer.json to the folder.")
    return tokenizer


def _weights(
    spec: ModelSpec, location: Location, config: PreTrainedConfig, dtype: torch.dtype, device: torch.device
) -> PreTrainedModel:
    options: dict[str, Any] = {
        "config": config,
        "dtype": dtype,
        "trust_remote_code": False,
        "output_loading_info": True,
    }
    if spec.device_map is not None:
        options["device_map"] = spec.device_map
    elif device.type != "cpu":
        options["device_map"] = {"": device}
    if spec.quantization_config is not None:
        options["quantization_config"] = spec.quantization_config
    try:
        with no_bars(), fitting(f"The model {location.name!r} in {str(dtype).removeprefix('torch.')}", _SMALLER):
            loaded: Any = transformers.AutoModelForCausalLM.from_pretrained(location.target, **options)
    except Exception as error:
        _refuse(location, error)
    model, report = loaded
    if lacking := sorted(report["missing_keys"]):
        # transformers fills these with random numbers and goes on.
        raise BrokenModel(location.source, f"{len(lacking)} weights are missing, the first is {lacking[0]}")
    assert isinstance(model, PreTrainedModel)
    return model


def _refuse(location: Location, error: Exception) -> NoReturn:
    """Turn whatever transformers raises into a sentence about this source."""
    if isinstance(error, EngineError):
        raise error
    if "trust_remote_code" in str(error):
        raise BrokenModel(
            location.source,
            "it needs code of its own to run, and Hotseat never runs a model's code",
            "Use another model.",
        ) from error
    if location.folder is None and isinstance(error, OSError):
        raise ModelNotFound(
            location.source,
            f"no such folder, and from the hub: {first_line(error)}",
            f"If it is a folder, check its path from {Path.cwd()}; if it is a hub's model, check its name and the "
            "network, and log in if it is gated.",
        ) from error
    raise BrokenModel(location.source, first_line(error)) from error
