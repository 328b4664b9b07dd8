"""A tiny model on the GPU, and its untouched twin on the CPU; and a device that says who waits for it."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from agent_runtime.engine.attention import MOVE_KEYS
from agent_runtime.engine.forward import ForwardRunner
from agent_runtime.engine.kv_geometry import KVGeometry
from agent_runtime.engine.pool import Pool
from agent_runtime.engine.rope import RotaryTable
from tests.agent_runtime.engine.worlds import World
from tests.tiny_models import CONTEXT, tiny_model


def cuda_world(kind: str, dtype: torch.dtype = torch.float32, *, way: str = MOVE_KEYS) -> World:
    torch.backends.cuda.matmul.allow_tf32 = False
    model = tiny_model(kind).to("cuda", dtype)
    config = model.config
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    devices = (torch.device("cuda:0"),) * config.num_hidden_layers
    pool = Pool(KVGeometry(config.num_key_value_heads, head_dim, dtype, devices), 4096)
    rope = RotaryTable(model.model.rotary_emb.inv_freq, CONTEXT)
    return World(ForwardRunner(model, pool, rope, way=way), tiny_model(kind))


@contextmanager
def nobody_waits() -> Iterator[None]:
    """Have torch raise where the host would wait for the device; not behind this, whatever happens.

    torch warns once that it does not know all such calls, and has changed its mode by then: where a warning is an
    error, the mode would stay, and all tests from then on would fail.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Synchronization debug mode is a prototype feature")
            torch.cuda.set_sync_debug_mode("error")
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")
