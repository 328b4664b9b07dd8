"""Tiny random models and a tiny tokenizer, one factory for all tests: float32, two or three layers, seconds never.

The weights have enough spread that attention decides the logits; with transformers' own start (0.02) every prompt
gives nearly the same answer and a wrong attention passes any test.
"""

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import gguf
import numpy
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    CohereConfig,
    CohereForCausalLM,
    Ernie4_5Config,
    Ernie4_5ForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    HunYuanDenseV1Config,
    HunYuanDenseV1ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    SmolLM3Config,
    SmolLM3ForCausalLM,
)

ACCEPTED = ("llama", "llama3", "yarn", "qwen2", "qwen3", "mistral")
REFUSED_BY_CONFIG = ("dynamic", "longrope", "sliding", "softcap")
REFUSED_BY_PROBE = ("nope", "norm_after_rope", "interleaved", "interleaved_ernie")
REFUSED = REFUSED_BY_CONFIG + REFUSED_BY_PROBE

VOCABULARY = 512
CONTEXT = 2048
START, END, PAD = "<|im_start|>", "<|im_end|>", "<|pad|>"

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

_CORPUS = (
    "The north gate is closed. The river runs to the east. A guard stands at the gate and holds a spear.",
    "You are a guard. Answer with one legal action. Legal answers: fold, call, raise, check, hold, go to the mill.",
    "map/north-gate\nunit/guard-7\nhp: 10, x: 3, y: 4, owner: red\n",
    '{"cards": ["As", "Kd"], "pot": 120, "stack": 880, "to": "gate", "hp": 7, "alive": true, "owner": null}',
    "player 0 raises 40; player 1 calls; the flop is 2h 9c Jd; the pot is 160 chips; your move is",
)


def tiny_model(kind: str, seed: int = 0) -> PreTrainedModel:
    """A random model of one of the kinds in `_FACTORIES`, float32, eval mode; equal for equal seeds."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _FACTORIES[kind]().float().eval()
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if weight.dim() == 1:
                    # Norm gains and biases. A norm of equal gains commutes with a rotation, so they must differ.
                    weight.add_(torch.empty_like(weight).uniform_(-0.4, 0.4))
                elif "embed" in name:
                    weight.normal_(std=1.0)
                else:
                    weight.normal_(std=0.2)
    model.generation_config.update(eos_token_id=1, bos_token_id=0, pad_token_id=2)
    return model


def tiny_tokenizer(chat_template: str | None = CHATML) -> PreTrainedTokenizerFast:
    """Byte-level BPE with ChatML markers: <|im_start|> 0, <|im_end|> 1, <|pad|> 2, then bytes, then merges."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.train_from_iterator(
        _CORPUS,
        trainers.BpeTrainer(
            vocab_size=VOCABULARY - 32,  # a model's table is often larger than its tokenizer's
            special_tokens=[START, END, PAD],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token=START, eos_token=END, pad_token=PAD, model_max_length=CONTEXT
    )
    tokenizer.chat_template = chat_template
    return tokenizer


def save_tiny_model(folder: Path, kind: str = "llama", seed: int = 0, chat_template: str | None = CHATML) -> Path:
    """Write model and tokenizer into `folder` as transformers would, and return it."""
    tiny_model(kind, seed).save_pretrained(folder)
    tiny_tokenizer(chat_template).save_pretrained(folder)
    return folder


def save_tiny_adapter(
    folder: Path,
    *,
    base: str | None = None,
    block_modes: tuple[str, ...] = ("star",),
    rank: int = 2,
    alpha: int = 4,
    seed: int = 1,
    dtype: torch.dtype = torch.float32,
) -> Path:
    """Write a LoRA adapter of the tiny llama as PEFT would, its card with it, and return its folder.

    `base` is the digest of the weights that the card names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    targets, generator = ("q_proj", "v_proj", "down_proj"), torch.Generator().manual_seed(seed)
    weights = {}
    for name, layer in tiny_model("llama").named_modules():
        if isinstance(layer, torch.nn.Linear) and name.endswith(targets):
            for part, shape in (("A", (rank, layer.in_features)), ("B", (layer.out_features, rank))):
                made = torch.randn(shape, generator=generator).mul(0.2).to(dtype)
                weights[f"base_model.model.{name}.lora_{part}.weight"] = made
    save_file(weights, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": alpha, "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps({**config, "target_modules": list(targets)}))
    card = {"block_modes": list(block_modes), **({} if base is None else {"base": base})}
    (folder / "hotseat.json").write_text(json.dumps(card))
    return folder


def save_tiny_gguf(file: Path, seed: int = 0, pre_tokenizer: str = "gpt-2", context: int = CONTEXT) -> Path:
    """Write `tiny_model("llama", seed)` and the tiny tokenizer as an unquantised GGUF file, and return it."""
    model, tokenizer = tiny_model("llama", seed), tiny_tokenizer()
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_block_count(_SIZES["num_hidden_layers"])
    writer.add_context_length(context)
    writer.add_embedding_length(_SIZES["hidden_size"])
    writer.add_feed_forward_length(_SIZES["intermediate_size"])
    writer.add_head_count(_SIZES["num_attention_heads"])
    writer.add_head_count_kv(_SIZES["num_key_value_heads"])
    writer.add_rope_dimension_count(_SIZES["head_dim"])
    writer.add_rope_freq_base(10_000.0)
    writer.add_layer_norm_rms_eps(model.config.rms_norm_eps)
    writer.add_vocab_size(VOCABULARY)
    words = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().__getitem__)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre_tokenizer)
    writer.add_token_list([*words, *(f"unused{number}" for number in range(len(words), VOCABULARY))])
    writer.add_token_types([gguf.TokenType.CONTROL] * 3 + [gguf.TokenType.NORMAL] * (VOCABULARY - 3))
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_pad_token_id(2)
    writer.add_chat_template(CHATML)
    for name, weight in model.state_dict().items():
        heads = {"q_proj": _SIZES["num_attention_heads"], "k_proj": _SIZES["num_key_value_heads"]}
        array = weight.numpy()
        for projection, num_heads in heads.items():
            if projection in name:  # llama.cpp keeps the two halves of a rotary pair side by side
                array = array.reshape(num_heads, 2, -1, array.shape[-1]).swapaxes(1, 2).reshape(array.shape)
        writer.add_tensor(_gguf_name(name), numpy.ascontiguousarray(array))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _gguf_name(name: str) -> str:
    layers = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, _SIZES["num_hidden_layers"])
    return f"{layers.get_name(name.removesuffix('.weight'))}.weight"


_SIZES: Mapping[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": CONTEXT,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 2,
    "tie_word_embeddings": False,
}


def _rope(rope_type: str, **parameters: Any) -> dict[str, Any]:
    return {"rope_type": rope_type, "rope_theta": 10_000.0, **parameters}


def _llama(**changes: Any) -> PreTrainedModel:
    return LlamaForCausalLM(LlamaConfig(**{**_SIZES, **changes}))


_FACTORIES: Mapping[str, Callable[[], PreTrainedModel]] = {
    "llama": _llama,
    # The sizes of heads that kernels are made for, and one that they do not do; all others here have heads of 16.
    **{f"heads of {size}": partial(_llama, head_dim=size) for size in (64, 96, 128, 320)},
    "ungrouped": lambda: _llama(num_key_value_heads=_SIZES["num_attention_heads"]),
    # The short original length makes the scaling felt within the few dozen positions of a test.
    "llama3": lambda: _llama(
        rope_parameters=_rope(
            "llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64
        )
    ),
    "yarn": lambda: _llama(rope_parameters=_rope("yarn", factor=4.0, original_max_position_embeddings=CONTEXT // 4)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**_SIZES)),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**_SIZES)),
    "mistral": lambda: MistralForCausalLM(MistralConfig(**_SIZES, sliding_window=None)),
    "dynamic": lambda: _llama(rope_parameters=_rope("dynamic", factor=2.0), max_position_embeddings=64),
    "longrope": lambda: _llama(
        rope_parameters=_rope(
            "longrope",
            factor=4.0,
            short_factor=[1.0] * 8,
            long_factor=[2.0] * 8,
            original_max_position_embeddings=64,
        )
    ),
    "sliding": lambda: MistralForCausalLM(MistralConfig(**_SIZES, sliding_window=8)),
    "softcap": lambda: Gemma2ForCausalLM(
        Gemma2Config(**_SIZES, query_pre_attn_scalar=16, sliding_window=CONTEXT, attn_logit_softcapping=5.0)
    ),
    "nope": lambda: SmolLM3ForCausalLM(SmolLM3Config(**_SIZES, no_rope_layers=[1, 0, 1])),
    "norm_after_rope": lambda: HunYuanDenseV1ForCausalLM(HunYuanDenseV1Config(**_SIZES)),
    "interleaved": lambda: CohereForCausalLM(CohereConfig(**_SIZES, logit_scale=1.0)),
    "interleaved_ernie": lambda: Ernie4_5ForCausalLM(Ernie4_5Config(**_SIZES)),
}
