"""A decoder run layer by layer by our own loop, so that all that reads the same rows is one matrix product.

The merged weights take the place of the model's own, which become parts of them: nothing is held twice, and the model
itself goes on computing what it did.

Shapes: T rows, W wanted rows, E embedding, H query heads, G key/value heads, D head dimension, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from transformers import PreTrainedModel

from agent_runtime.engine.gpu.attention import KernelStep, attend_rows
from agent_runtime.engine.gpu.fused import add_and_norm, gated, norm

# Decoders whose layers compute what `Merged.hidden` does, in that order; the probe at load proves it of every model.
_KNOWN = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM")


@dataclass(frozen=True, slots=True)
class _Layer:
    """The weights of one layer. Norms of heads are there in Qwen3, a bias in Qwen2."""

    norm_E: torch.Tensor
    qkv: torch.Tensor
    qkv_bias: torch.Tensor | None
    head_norms: tuple[torch.Tensor, torch.Tensor] | None
    out: torch.Tensor
    mlp_norm_E: torch.Tensor
    gate_up: torch.Tensor
    down: torch.Tensor


class Merged:
    """A model whose weights are merged. `why_not` says whether it can be."""

    def __init__(self, model: PreTrainedModel) -> None:
        """Merge the weights of `model`, one layer after the other, so that little is held twice for a moment."""
        decoder: Any = model.get_decoder()
        config: Any = model.config.get_text_config()
        self._embedding = model.get_input_embeddings()
        self._layers = [_merged(layer) for layer in decoder.layers]
        self._norm_E, self._eps = decoder.norm.weight, config.rms_norm_eps
        self._head: Any = model.get_output_embeddings()
        self.num_logits = int(self._head.weight.shape[0])
        self._num_heads = config.num_attention_heads
        self._scaling = float(decoder.layers[0].self_attn.scaling)
        self._factor = float(decoder.rotary_emb.attention_scaling)

    @torch.inference_mode()
    def hidden(self, ids_T: torch.Tensor, step: KernelStep) -> torch.Tensor:
        """Return the last hidden states of the rows, normed, [T, E]; keys and values go into the pool."""
        residual_TE = self._embedding(ids_T)
        x_TE = norm(residual_TE, self._layers[0].norm_E, self._eps)
        following = [layer.norm_E for layer in self._layers[1:]] + [self._norm_E]
        for number, (layer, next_norm_E) in enumerate(zip(self._layers, following, strict=True)):
            qkv = F.linear(x_TE, layer.qkv, layer.qkv_bias)
            attended = attend_rows(
                step, number, *self._split(qkv, step), self._scaling, self._factor, layer.head_norms, self._eps
            )
            residual_TE, x_TE = add_and_norm(
                residual_TE, F.linear(attended.flatten(1), layer.out), layer.mlp_norm_E, self._eps
            )
            x_TE = F.linear(gated(F.linear(x_TE, layer.gate_up)), layer.down)
            residual_TE, x_TE = add_and_norm(residual_TE, x_TE, next_norm_E, self._eps)
        return x_TE

    @torch.inference_mode()
    def logits(self, hidden_TE: torch.Tensor, rows_W: torch.Tensor) -> torch.Tensor:
        """Return the logits of some rows, [W, V] in the model's dtype."""
        logits: torch.Tensor = self._head(hidden_TE.index_select(0, rows_W))
        return logits

    def _split(self, qkv: torch.Tensor, step: KernelStep) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return queries [T, H, D], keys and values [T, G, D], which are parts of the product."""
        groups, dim = step.pool.geometry.num_kv_heads, step.pool.geometry.head_dim
        q, k, v = qkv.split([self._num_heads * dim, groups * dim, groups * dim], 1)
        return q.unflatten(1, (-1, dim)), k.unflatten(1, (-1, dim)), v.unflatten(1, (-1, dim))


def why_not(model: PreTrainedModel) -> str | None:
    """Return why a model has to compute its layers itself, None if they can be merged."""
    name = type(model).__name__
    config: Any = model.config.get_text_config()
    if name not in _KNOWN:
        return f"{name} is not one of {', '.join(_KNOWN)}"
    if config.hidden_act != "silu":
        return f"its activation is {config.hidden_act}"
    layers: Any = model.get_decoder().layers
    linear = [layer.self_attn.o_proj for layer in layers]
    linear += [each for layer in layers for each in (layer.mlp.gate_proj, layer.mlp.up_proj, layer.mlp.down_proj)]
    inputs = [_projections(layer) for layer in layers]
    if any(type(each) is not torch.nn.Linear for each in (*linear, *(each for three in inputs for each in three))):
        return "its products are not plain ones"
    if any(each.bias is not None for each in linear):
        return "its products have a bias where none is added"
    if any(len({each.bias is None for each in three}) > 1 for three in inputs):
        return "of queries, keys and values some have a bias"
    if any(weight.device != linear[0].weight.device for weight in model.parameters()):
        return "its layers lie on several devices"
    return None


def _projections(layer: Any) -> tuple[Any, Any, Any]:
    return layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj


def _merged(layer: Any) -> _Layer:
    attention, mlp = layer.self_attn, layer.mlp
    projections = _projections(layer)
    biases = [each.bias for each in projections]
    has_head_norms = hasattr(attention, "q_norm")
    return _Layer(
        norm_E=layer.input_layernorm.weight,
        qkv=_joined([each.weight for each in projections]),
        qkv_bias=None if biases[0] is None else _joined(biases),
        head_norms=(attention.q_norm.weight, attention.k_norm.weight) if has_head_norms else None,
        out=attention.o_proj.weight,
        mlp_norm_E=layer.post_attention_layernorm.weight,
        gate_up=_joined([mlp.gate_proj.weight, mlp.up_proj.weight]),
        down=mlp.down_proj.weight,
    )


@torch.no_grad()
def _joined(weights: Sequence[torch.nn.Parameter]) -> torch.Tensor:
    """Return weights below each other; each becomes a part of what is returned."""
    whole = torch.cat([weight.data for weight in weights])
    for weight, part in zip(weights, whole.split([len(weight) for weight in weights]), strict=True):
        weight.data = part
    if whole.is_cuda:
        torch.cuda.empty_cache()  # what the parts lay in before fits nothing larger, and would stay reserved
    return whole
