"""Which model a bench is about: one that is loaded, or random weights in any geometry with a tokenizer beside them."""

from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedConfig

from agent_runtime.adapter_choice import Adapter, AdapterChoice
from agent_runtime.engine.admission import check_config
from agent_runtime.engine.bench.errors import BadOption
from agent_runtime.engine.bench.geometry import config_of, kv_geometry
from agent_runtime.engine.bench.setting import compute_on
from agent_runtime.engine.bench.subject import Subject, device_of, dtype_of
from agent_runtime.engine.digests import canonical_json, digest_of
from agent_runtime.engine.loading import LoadedModel, ModelSpec, load_model, model_config
from agent_runtime.engine.positions import Positions
from agent_runtime.engine.sources import EMBEDDED, cache_folder, tokenizer_folder
from agent_runtime.engine.text import TextEncoder
from agent_runtime.engine.tokenizer_files import read_tokenizer


@dataclass(frozen=True, slots=True)
class AskedModel:
    """What a command was told of the model.

    A `geometry` has random weights; so has the one of `model`, if `random_weights`. `tokenizer` is that of random
    weights: by default the geometry folder's own, else `model`'s.
    """

    model: str = EMBEDDED
    adapter: Adapter = AdapterChoice.DEFAULT
    geometry: str | None = None
    random_weights: bool = False
    tokenizer: str | None = None
    device: str | None = None
    dtype: str | None = None

    @property
    def is_random(self) -> bool:
        """Return whether its weights are random."""
        return self.random_weights or self.geometry is not None


def subject_of(asked: AskedModel) -> Subject:
    """Return what the engine's bench times; a model that is not random is loaded.

    Raises BadOption, TooLarge, UnsupportedModel, and what loading a model raises.
    """
    return random_subject(asked) if asked.is_random else subject_of_loaded(loaded_model(asked))


def random_subject(asked: AskedModel) -> Subject:
    """Return a geometry whose weights are yet to be drawn. Raises BadOption, UnsupportedModel, ModelNotFound."""
    device = device_of(asked.device)
    config = model_config(asked.model) if asked.geometry is None else config_of(asked.geometry)
    check_config(config)
    return Subject(asked.geometry or asked.model, config, device, dtype_of(asked.dtype, device))


def loaded_model(asked: AskedModel) -> LoadedModel:
    """Load a model whose weights are its own. Raises BadOption, TooLarge, and what loading a model raises."""
    device = device_of(asked.device)
    dtype = dtype_of(asked.dtype, device)
    Subject(asked.model, model_config(asked.model), device, dtype).require_memory(0)
    name = str(dtype).removeprefix("torch.")
    return load_model(ModelSpec(source=asked.model, adapter=asked.adapter, dtype=name, device=str(device)))


def subject_of_loaded(loaded: LoadedModel) -> Subject:
    """Return a loaded model as the engine's bench takes it."""
    return Subject(loaded.name, loaded.model.config, loaded.device, loaded.kv_dtype, loaded.model)


def encoder_of(asked: AskedModel, config: PreTrainedConfig) -> TextEncoder:
    """Return what makes ids for random weights. Raises BadOption if they have too few, BrokenModel, ModelNotFound."""
    source = asked.tokenizer or _with_tokenizer(asked.geometry) or asked.model
    tokenizer = read_tokenizer(source, tokenizer_folder(source, cache_folder()))
    needed, has = len(tokenizer), int(config.get_text_config().vocab_size)
    if needed > has:
        raise BadOption(
            "--tokenizer",
            f"the tokenizer of {source} has {needed} tokens and the geometry {has}: name a folder with a smaller "
            "tokenizer.json, or put one beside the geometry's config.json",
        )
    return TextEncoder(tokenizer)


def with_random_weights(subject: Subject, text: TextEncoder) -> LoadedModel:
    """Return random weights as the runtime serves a model; equal for equal configurations."""
    model = compute_on(subject.device)(subject.made)
    config, geometry = subject.config, kv_geometry(subject.config, subject.device, subject.dtype)
    return LoadedModel(
        model=model,
        text=text,
        name=f"{subject.name}, random weights",
        block_modes=(),
        positions=Positions.SEQUENTIAL,
        digest=digest_of("hotseat-random-weights", canonical_json(config.to_dict()), str(subject.dtype)),
        context_limit=int(config.get_text_config().max_position_embeddings),
        num_layers=geometry.num_layers,
        num_kv_heads=geometry.num_kv_heads,
        head_dim=geometry.head_dim,
        num_logits=int(config.get_text_config().vocab_size),
        kv_dtype=subject.dtype,
        device=subject.device,
    )


def _with_tokenizer(geometry: str | None) -> str | None:
    return geometry if geometry is not None and (Path(geometry) / "tokenizer.json").is_file() else None
