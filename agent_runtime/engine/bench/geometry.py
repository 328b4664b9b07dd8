"""Models of a given shape with random weights: what a turn costs does not depend on what the weights say."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, PreTrainedConfig, PreTrainedModel
from transformers.initialization import no_init_weights

from agent_runtime.engine.bench.errors import BadOption
from agent_runtime.engine.errors import first_line
from agent_runtime.engine.kv_geometry import KVGeometry
from agent_runtime.engine.pool import Pool
from agent_runtime.engine.rope import RotaryTable

_CONTEXT = 131_072
_KNOWN: dict[str, dict[str, Any]] = {
    "llama-3.1-8b": {
        "vocab_size": 128_256,
        "hidden_size": 4096,
        "intermediate_size": 14_336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
    },
    "smollm2-135m": {
        "vocab_size": 49_152,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "tie_word_embeddings": True,
    },
}


@dataclass(frozen=True, slots=True)
class Bare:
    """A model with random weights, its rotary table, and a pool of random keys and values."""

    model: PreTrainedModel
    rope: RotaryTable
    pool: Pool

    @property
    def weight_bytes(self) -> int:
        """Return how many bytes of weights a forward reads; of the embedding it reads rows alone."""
        embedding, head = (
            part.weight for part in (self.model.get_input_embeddings(), self.model.get_output_embeddings())
        )
        weights = [each for each in self.model.parameters() if each is not embedding or each is head]
        return sum(each.numel() * each.itemsize for each in weights)

    @property
    def num_head_weights(self) -> int:
        """Return how many weights only those rows are multiplied by whose logits are wanted."""
        return int(self.model.get_output_embeddings().weight.numel())

    @property
    def operations_per_key(self) -> int:
        """Return the operations of all layers for one row that sees one key: a score, and its part of the mean."""
        sizes = self.model.config.get_text_config()
        return 4 * int(sizes.num_attention_heads) * self.pool.geometry.head_dim * self.pool.geometry.num_layers

    @property
    def vocab_size(self) -> int:
        """Return V."""
        return int(self.model.config.get_text_config().vocab_size)

    def least_work(self, *, rows: int, wanted: int, stored: int, seen: int) -> tuple[float, float]:
        """Return the bytes that a forward has to move and the operations it has to do, at the least.

        `rows` are computed, logits of `wanted` ones returned, `stored` tokens read, and all rows together see `seen`
        keys, themselves among them. Weights and keys are read once, whoever sees them; the head multiplies those rows
        alone whose logits are wanted.
        """
        geometry = self.pool.geometry
        num_bytes = self.weight_bytes + (stored + rows) * geometry.bytes_per_token
        weights = self.weight_bytes // geometry.dtype.itemsize - self.num_head_weights
        operations = 2 * (weights * rows + self.num_head_weights * wanted)
        return num_bytes, operations + self.operations_per_key * seen


def config_of(name: str) -> PreTrainedConfig:
    """Return a known geometry, or the configuration in a folder. Raises BadOption if there is neither."""
    if name in _KNOWN:
        rope = {"rope_type": "default", "rope_theta": 500_000.0}
        return LlamaConfig(**_KNOWN[name], max_position_embeddings=_CONTEXT, rope_parameters=rope)
    if not (Path(name) / "config.json").is_file():
        why = f"there is no geometry {name}: name one of {', '.join(_KNOWN)}, or a folder with a config.json"
        raise BadOption("--geometry", why)
    try:
        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
    except Exception as error:  # whatever transformers makes of a file that is none of its own
        why = f"{name} has a config.json that transformers cannot read ({first_line(error)}): copy it again"
        raise BadOption("--geometry", why) from error
    assert isinstance(config, PreTrainedConfig)
    return config


def random_model(config: PreTrainedConfig, device: torch.device, dtype: torch.dtype) -> PreTrainedModel:
    """Return a model of `config` on `device` whose weights are random; equal for equal configurations."""
    generator = torch.Generator(device).manual_seed(0)
    default = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device), no_init_weights():
            model: Any = AutoModelForCausalLM.from_config(config, dtype=dtype)
    finally:
        torch.set_default_dtype(default)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_(0.0, 0.02, generator=generator)
            else:
                weight.fill_(1.0)
    model.tie_weights()
    decoder = model.get_decoder()
    with torch.device(device):  # its frequencies are numbers of its own, and were not to be initialised
        decoder.rotary_emb = type(decoder.rotary_emb)(config.get_text_config())
    made: PreTrainedModel = model.train(False).requires_grad_(False)
    return made


def bare_of(model: PreTrainedModel, num_slots: int, device: torch.device, dtype: torch.dtype) -> Bare:
    """Return a model with a pool of `num_slots` tokens in which anything stands."""
    config: PreTrainedConfig = model.config
    pool = Pool(kv_geometry(config, device, dtype), num_slots)
    generator = torch.Generator(device).manual_seed(0)
    for layer in (*pool.keys, *pool.values):
        layer.normal_(generator=generator)
    context = config.get_text_config().max_position_embeddings
    rotary: Any = model.get_decoder().rotary_emb
    return Bare(model, RotaryTable(rotary.inv_freq, context), pool)


def bare_model(config: PreTrainedConfig, num_slots: int, device: torch.device, dtype: torch.dtype) -> Bare:
    """Return a model of `config` with random weights on `device`, and a pool in which anything stands."""
    device = torch.empty(0, device=device).device  # with its number
    return bare_of(random_model(config, device, dtype), num_slots, device, dtype)


def kv_geometry(config: PreTrainedConfig, device: torch.device, dtype: torch.dtype) -> KVGeometry:
    """Return what a token's keys and values look like in a model of `config` that lies on one device."""
    sizes = config.get_text_config()
    head_dim = getattr(sizes, "head_dim", None) or sizes.hidden_size // sizes.num_attention_heads
    return KVGeometry(sizes.num_key_value_heads, head_dim, dtype, (device,) * sizes.num_hidden_layers)
