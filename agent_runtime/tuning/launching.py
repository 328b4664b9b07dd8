"""How the processes of a run share it, as accelerate's own launcher and configuration say, and what no run can follow.

Weights, gradients and the optimizer's state lie whole in every process, or in parts (FSDP2, `fully_shard`).
"""

import os
from collections.abc import Iterator
from typing import Any

import torch
from accelerate import Accelerator, FullyShardedDataParallelPlugin
from accelerate.utils import DistributedDataParallelKwargs, DistributedType, GradientAccumulationPlugin
from torch.distributed.fsdp import MixedPrecisionPolicy

from agent_runtime.tuning.errors import BadLaunch

_LAYERS = "TRANSFORMER_BASED_WRAP"


def launched(*, exchanges: bool = False) -> Accelerator:
    """Return this process's part in what a launcher has started; of one process, if nothing has.

    `exchanges` is for a run that shows its model with other weights now and then. Raises BadLaunch, which names the
    setting of accelerate's that a run cannot follow.
    """
    asked = _is_asked_to_shard()
    for setting, why in _refused_environment(exchanges) if asked else ():
        raise BadLaunch(setting, why)
    on_gpu = torch.cuda.is_available()
    accelerator = Accelerator(
        mixed_precision="bf16" if on_gpu else "no",
        fsdp_plugin=_plugin(on_gpu) if asked else None,
        # The loop has its own: `accumulate`. A configuration's would divide the loss once more.
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
        kwargs_handlers=[DistributedDataParallelKwargs(gradient_as_bucket_view=True)],
    )
    for setting, why in _refused(accelerator, asked):
        raise BadLaunch(setting, why)
    return accelerator


def is_sharded(accelerator: Accelerator) -> bool:
    """Whether every process has a part of the weights alone."""
    return bool(accelerator.distributed_type == DistributedType.FSDP)


def kind_of(accelerator: Accelerator) -> str:
    """Return in words how processes share a run: what is saved is taken up by as many that share it alike."""
    number = accelerator.num_processes
    shared = "1 process" if number == 1 else f"{number} processes"
    if not is_sharded(accelerator):
        return shared
    return f"{shared} with FSDP's {accelerator.state.fsdp_plugin.state_dict_type.name}"


def check_layers(accelerator: Accelerator, names: set[str]) -> None:
    """Raise BadLaunch if layers are to be shared that the model, which has those of `names`, does not have."""
    if is_sharded(accelerator):
        asked = accelerator.state.fsdp_plugin.transformer_cls_names_to_wrap
        if asked is not None and set(asked) != names:
            wanted = ", ".join(sorted(names))
            why = f"{', '.join(asked)} is not what the model's layers are. Leave it out, or set it to {wanted}"
            raise BadLaunch("fsdp_transformer_layer_cls_to_wrap", why)


def _is_asked_to_shard() -> bool:
    return os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"


def _refused_environment(exchanges: bool) -> Iterator[tuple[str, str]]:
    """Yield the settings of FSDP that no run follows, each with what to do."""

    def said(name: str, unsaid: str = "false") -> str:
        return os.environ.get(f"FSDP_{name}", unsaid)

    if said("VERSION", "1") != "2":
        yield "fsdp_version", "a run is shared by FSDP2. Set it to 2"
    if exchanges:
        yield (
            "distributed_type",
            "a run over recordings, or one that remembers, exchanges weights for those that it began with or the bare "
            "ones, which FSDP does not see. Set MULTI_GPU, where every process has all weights",
        )
    if said("AUTO_WRAP_POLICY", "NO_WRAP").upper() != _LAYERS:
        yield "fsdp_auto_wrap_policy", f"parts are those of the model's layers. Set it to {_LAYERS}"
    if said("CPU_RAM_EFFICIENT_LOADING").lower() == "true":
        yield "fsdp_cpu_ram_efficient_loading", "every process checks the weights that it loads. Set it to false"
    if said("ACTIVATION_CHECKPOINTING").lower() == "true":
        yield "fsdp_activation_checkpointing", "layers are computed once. Set it to false"
    if said("OFFLOAD_PARAMS").lower() == "true":
        yield "fsdp_offload_params", "weights stay on the GPUs. Set it to false"
    if said("IGNORED_MODULES", ""):
        yield "fsdp_ignored_modules", "what is ignored would be tuned by each process on its own. Leave it out"


def _plugin(on_gpu: bool) -> FullyShardedDataParallelPlugin:
    """Return what shards, as accelerate reads it from the environment.

    Computed is in bfloat16 where autocast would, with what layers add to each other and gradients in float32, as where
    weights are whole. Weights travel, and lie beside what the backward needs, in bfloat16.
    """
    try:
        plugin: Any = FullyShardedDataParallelPlugin()
    except (ValueError, KeyError) as error:
        raise BadLaunch("fsdp_config", str(error)) from error
    if on_gpu:
        plugin.mixed_precision_policy = MixedPrecisionPolicy(
            param_dtype=torch.bfloat16, reduce_dtype=torch.float32, cast_forward_inputs=False
        )
    return plugin


def _refused(accelerator: Accelerator, asked: bool) -> Iterator[tuple[str, str]]:
    """Yield what accelerate has made of its configuration and no run follows."""
    kind = accelerator.distributed_type
    if kind in (DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM):
        yield "distributed_type", f"{kind.value} is none of those that a run is shared by. Set MULTI_GPU or FSDP"
    if asked and accelerator.num_processes > 1 and not is_sharded(accelerator):
        why = "accelerate puts weights in parts on GPUs alone, and there are none. Leave FSDP out: each has all weights"
        yield "distributed_type", why
    if accelerator.parallelism_config is not None:
        yield "parallelism_config", "processes share a run in one way, by batches. Leave it out"
    if asked and accelerator.state.dynamo_plugin.backend.value != "NO":
        yield "dynamo_backend", "layers are compiled by the run. Set compile = true under [training], and this to no"
