"""agent_runtime.engine.admission: who may come in, who may not, and that the refusal names the reason and the layer."""

import pytest
import torch
from transformers import (
    AutoConfig,
    BloomConfig,
    GptOssConfig,
    LlamaConfig,
    MistralConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3NextConfig,
    T5Config,
)

from agent_runtime.engine import attention
from agent_runtime.engine.admission import check_config, probe
from agent_runtime.engine.errors import UnsupportedModel
from agent_runtime.engine.forward import ForwardRunner
from agent_runtime.engine.kv_geometry import KVGeometry
from agent_runtime.engine.pool import Pool
from agent_runtime.engine.rope import RotaryTable
from tests.tiny_models import ACCEPTED, REFUSED_BY_CONFIG, REFUSED_BY_PROBE, tiny_model

CPU = torch.device("cpu")


def _runner(model: PreTrainedModel, way: str = attention.MOVE_KEYS) -> ForwardRunner:
    layers = model.config.num_hidden_layers
    geometry = KVGeometry(model.config.num_key_value_heads, model.config.head_dim, model.dtype, (CPU,) * layers)
    context = model.config.max_position_embeddings
    return ForwardRunner(
        model, Pool(geometry, 64), RotaryTable(model.get_decoder().rotary_emb.inv_freq, context), way=way
    )


@pytest.mark.parametrize("way", [attention.MOVE_KEYS, attention.MOVE_QUERIES])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ACCEPTED)
def test_ordinary_rotary_models_come_in(kind, dtype, way):
    model = tiny_model(kind).to(dtype)
    check_config(model.config)
    probe(_runner(model, way), model)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("dynamic", "dynamic: they change with the length"),
        ("longrope", "longrope: they change with the length"),
        ("sliding", "sliding window of 8 tokens in a context of 2048"),
        ("softcap", "softcap"),
    ],
)
def test_a_configuration_that_says_so_is_refused_with_the_reason(kind, reason):
    with pytest.raises(UnsupportedModel, match=reason) as caught:
        check_config(tiny_model(kind).config)
    assert str(caught.value).endswith("Mistral without a window.")


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (BloomConfig(), "no rotary positions"),
        (T5Config(), "encoder"),
        (Qwen3NextConfig(), "linear_attention"),
        (GptOssConfig(sliding_window=10**9, rope_parameters={"rope_type": "default", "rope_theta": 1e4}), "sinks"),
        (Qwen2Config(use_sliding_window=True, sliding_window=64, max_window_layers=1), "sliding window of 64"),
        (
            LlamaConfig(rope_parameters={"rope_type": "default", "rope_theta": 1e4, "llama_4_scaling_beta": 0.1}),
            "absolute position",
        ),
        (
            AutoConfig.for_model("gemma3_text", sliding_window=10**9, max_position_embeddings=512),
            "layers have different rotary positions",
        ),
    ],
)
def test_other_configurations_are_refused_too(config, reason):
    with pytest.raises(UnsupportedModel, match=reason):
        check_config(config)


def test_a_window_as_long_as_the_context_is_no_window():
    check_config(MistralConfig(sliding_window=4096, max_position_embeddings=4096))
    check_config(Qwen2Config(use_sliding_window=False, sliding_window=64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("kind", "layer"), [("nope", 1), ("norm_after_rope", 0), ("interleaved", 0), ("interleaved_ernie", 0)]
)
def test_what_only_the_code_says_is_found_by_the_probe_and_the_layer_named(kind, layer, dtype):
    model = tiny_model(kind).to(dtype)
    check_config(model.config)
    with pytest.raises(UnsupportedModel, match=f"first seen in layer {layer}") as caught:
        probe(_runner(model), model)
    assert caught.value.layer == layer


@pytest.mark.parametrize("kind", ["sliding", "softcap"])
def test_the_probe_also_refuses_an_attention_keyword_that_is_not_implemented(kind):
    model = tiny_model(kind)
    with pytest.raises(UnsupportedModel, match="it attends with"):
        probe(_runner(model), model)


@pytest.mark.parametrize("kind", ["llama", "nope"])
def test_the_probe_leaves_nothing_behind(kind):
    model = tiny_model(kind)
    runner = _runner(model)
    try:
        probe(runner, model)
    except UnsupportedModel:
        assert kind == "nope"
    runner.pool.check([])
    assert (runner.rows, runner.forwards) == (0, 0)
    assert model.config._attn_implementation == attention.MOVE_KEYS
    assert not any(layer._forward_hooks for layer in model.get_decoder().layers)


def test_a_model_with_a_wrong_key_is_not_let_in(monkeypatch):
    model = tiny_model("llama")
    runner = _runner(model)
    monkeypatch.setattr(runner, "rope", RotaryTable(model.get_decoder().rotary_emb.inv_freq * 1.01, 2048))
    with pytest.raises(UnsupportedModel, match="a block is moved"):
        probe(runner, model)


def test_every_refused_kind_is_tested_here():
    assert set(REFUSED_BY_CONFIG) == {"dynamic", "longrope", "sliding", "softcap"}
    assert set(REFUSED_BY_PROBE) == {"nope", "norm_after_rope", "interleaved", "interleaved_ernie"}
