"""Which models blocks can be computed with: refused by configuration, or by a probe that runs the model both ways.

Blocks rest on one property: a score depends on the difference of two positions only. Some models break it where their
configuration says so (`check_config`), others in their code only, where the answers would be silently wrong by 5 to 30
percent (`probe`).

Shapes: T tokens, E embedding, V vocabulary.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedConfig, PreTrainedModel

from agent_runtime.engine.errors import UnsupportedAttention, UnsupportedModel, first_line
from agent_runtime.engine.forward import ForwardRunner
from agent_runtime.engine.likeness import EXACT, distances, rounding
from agent_runtime.engine.span import NOTHING, Placed, Span, View

_LENGTH_DEPENDENT = ("dynamic", "longrope")
_FULL_ATTENTION = ("full_attention",)
_WINDOWED = ("sliding_attention", "chunked_attention")
# Learned sinks stand in these models' weights, not in their configuration.
_WITH_SINKS = ("gpt_oss", "granite_swa", "granitemoe_swa", "hy_v4", "mimo_v2_flash", "deepseek_v4")

_BLOCK_TOKENS, _OBSERVATION_TOKENS, _PLACE = 24, 8, 97
# Beyond this a half-precision model is not noisy, it is wrong: those that we refuse are 0.15 to 1 off behind three
# layers, and more behind each further one.
_MOST = 0.3


def check_config(config: PreTrainedConfig) -> None:
    """Raise UnsupportedModel if the configuration alone says that blocks would be wrong."""
    sizes = config.get_text_config()
    name = config.name_or_path or config.model_type
    reason = _unsupported(sizes)
    if reason is not None:
        raise UnsupportedModel(name, reason)


def _unsupported(sizes: PreTrainedConfig) -> str | None:
    def value(key: str) -> Any:
        return getattr(sizes, key, None)

    context = value("max_position_embeddings")
    ropes = _rope_parameters(sizes)
    layer_types = set(value("layer_types") or ())
    foreign = sorted(layer_types - {*_FULL_ATTENTION, *_WINDOWED})
    windowed = bool(layer_types & set(_WINDOWED)) if layer_types else value("use_sliding_window") is not False
    windows = [value(key) for key in ("sliding_window", "attention_chunk_size") if value(key) is not None]
    if sizes.is_encoder_decoder:
        return "it is an encoder with a decoder"
    if not isinstance(context, int) or not ropes or value("alibi"):
        return "it has no rotary positions"
    if kinds := [rope["rope_type"] for rope in ropes if rope.get("rope_type") in _LENGTH_DEPENDENT]:
        return f"its rotary positions are {kinds[0]}: they change with the length of the prompt"
    if any(rope != ropes[0] for rope in ropes):
        return "its layers have different rotary positions"
    if foreign or value("linear_attn_config") or value("mamba_d_state"):
        return (
            f"it has layers of another kind than attention over all tokens ({', '.join(foreign) or 'linear attention'})"
        )
    if windowed and windows and min(windows) < context:
        return f"it has a sliding window of {min(windows)} tokens in a context of {context}"
    if value("attn_logit_softcapping") or value("attention_logit_cap"):
        return "it has a softcap on its attention scores"
    if sizes.model_type in _WITH_SINKS or value("attention_sinks"):
        return "it has attention sinks"
    if value("attn_temperature_tuning") or any(rope.get("llama_4_scaling_beta") for rope in ropes):
        return "it scales attention by the absolute position"
    return None


def _rope_parameters(sizes: PreTrainedConfig) -> list[Mapping[str, Any]]:
    """Return the rotary parameters: one set, or one for each type of layer."""
    parameters = getattr(sizes, "rope_parameters", None) or {}
    if "rope_type" in parameters or "rope_theta" in parameters:
        return [parameters]
    used = set(getattr(sizes, "layer_types", None) or parameters)
    return [inner for layer_type, inner in parameters.items() if isinstance(inner, Mapping) and layer_type in used]


def probe(runner: ForwardRunner, model: PreTrainedModel) -> None:
    """Run random tokens as the model itself would, and as a block and an observation behind it; raise if they differ.

    The block is encoded at position 0 and placed elsewhere, so that its keys are moved. In float32 rows of logits must
    agree to 1e-4 on average; in other dtypes as two of the model's own attention functions do (`likeness.rounding`).
    The error names the first layer that differs. What the probe runs does not appear in the runner's counts.
    """
    rows, forwards = runner.rows, runner.forwards
    place = min(_PLACE, runner.rope.num_positions - _BLOCK_TOKENS - _OBSERVATION_TOKENS)
    generator = torch.Generator().manual_seed(0)
    vocabulary = model.config.get_text_config().vocab_size
    ids = torch.randint(vocabulary, (_BLOCK_TOKENS + _OBSERVATION_TOKENS,), generator=generator).tolist()
    try:
        own = _own_forward(model, ids, place, "eager")
        limit = EXACT
        if runner.pool.geometry.dtype != torch.float32:
            noise = _difference(own.logits_TV, _own_forward(model, ids, place, "sdpa").logits_TV)
            limit = rounding(noise, _MOST)
        _require_equal(model, own, _own_forward(model, ids, 0, "eager"), limit, "the whole prompt")
        _require_equal(model, own, _block_forward(runner, model, ids, place), limit, "a block")
    finally:
        runner.rows, runner.forwards = rows, forwards


@dataclass(frozen=True, slots=True)
class _Trace:
    """What came out of every layer and of the model, one row a token, float32 on the CPU."""

    layers: tuple[torch.Tensor, ...]
    logits_TV: torch.Tensor


@torch.inference_mode()
def _own_forward(model: PreTrainedModel, ids: list[int], first: int, attention: str) -> _Trace:
    """Run the model as transformers would, with its tokens at positions `first` and on."""
    device = next(model.get_input_embeddings().parameters()).device
    positions_1T = torch.arange(first, first + len(ids), device=device)[None]
    ours = model.config._attn_implementation
    try:
        model.set_attn_implementation(attention)
        with _layer_outputs(model) as layers:
            logits = model(torch.tensor([ids], device=device), position_ids=positions_1T, use_cache=False).logits
    except ValueError as error:
        raise UnsupportedModel(
            _name(model), f"transformers cannot run it with {attention} attention", "Load it in float32."
        ) from error
    finally:
        model.set_attn_implementation(ours)
    return _Trace(tuple(layers), logits[0].float().cpu())


def _block_forward(runner: ForwardRunner, model: PreTrainedModel, ids: list[int], place: int) -> _Trace:
    """Run the same tokens as a block encoded at position 0, placed at `place`, and an observation behind it."""
    run = runner.pool.acquire(_BLOCK_TOKENS)
    try:
        block = Span(ids[:_BLOCK_TOKENS], 0, NOTHING, keep=run, wanted="all")
        view = View((Placed(run, place),))
        observation = Span(ids[_BLOCK_TOKENS:], place + _BLOCK_TOKENS, view, wanted="all")
        with _layer_outputs(model) as layers:
            logits = runner.run([block, observation])
    except UnsupportedAttention as error:
        raise UnsupportedModel(_name(model), f"it attends with {error.keyword!r}", layer=int(error.layer)) from error
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, TypeError, ValueError, IndexError, KeyError, AttributeError) as error:
        # Heads of another shape, or code of its own between projection and attention.
        raise UnsupportedModel(_name(model), f"block attention cannot run it ({first_line(error)})") from error
    finally:
        runner.pool.release(run)
    return _Trace(tuple(layers), torch.cat((logits[block], logits[observation])).float().cpu())


def _require_equal(model: PreTrainedModel, own: _Trace, other: _Trace, limit: float, what: str) -> None:
    difference = _difference(own.logits_TV, other.logits_TV)
    if difference <= limit:
        return
    # Kernels with merged weights call no layer: then none is named.
    pairs = enumerate(zip(own.layers, other.layers, strict=bool(other.layers)))
    raise UnsupportedModel(
        _name(model),
        f"its logits are {difference:.1e} off when {what} is moved, where {limit:.1e} may be rounding",
        layer=next((number for number, pair in pairs if not _difference(*pair) <= limit), None),
    )


def _name(model: PreTrainedModel) -> str:
    return str(model.name_or_path or type(model).__name__)


@contextmanager
def _layer_outputs(model: PreTrainedModel) -> Iterator[list[torch.Tensor]]:
    """Collect what each decoder layer returns while this is open."""
    collected: list[torch.Tensor] = []

    def collect(module: torch.nn.Module, inputs: Any, output: Any) -> None:
        hidden_1TE = output[0] if isinstance(output, tuple) else output
        collected.append(hidden_1TE.reshape(-1, hidden_1TE.shape[-1]).float().cpu())

    decoder: Any = model.get_decoder()
    hooks = [layer.register_forward_hook(collect) for layer in decoder.layers]
    try:
        yield collected
    finally:
        for hook in hooks:
            hook.remove()


def _difference(own: torch.Tensor, other: torch.Tensor) -> float:
    """Return how far rows are from the model's own, on average."""
    return float(distances(other, own).mean())
