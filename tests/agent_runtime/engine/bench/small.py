"""The smallest thing that the bench can time: two layers on a CPU, by plain torch."""

from typing import Any

import torch
from transformers import LlamaConfig

from agent_runtime.engine.attention import MOVE_KEYS
from agent_runtime.engine.bench.floors import Floors
from agent_runtime.engine.bench.geometry import bare_model
from agent_runtime.engine.bench.setting import BenchCase, Setting, Sizes
from agent_runtime.engine.forward import ForwardRunner
from agent_runtime.engine.likeness import EXACT

SIZES: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": 128,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 40_000,
}


def small_setting(
    case: BenchCase,
    *,
    observation: int = 5,
    turns: int = 3,
    max_rows: int = 16,
    quiet_rows: int = 64,
    more_slots: int = 0,
) -> Setting:
    """A setting whose pool holds a case and `more_slots`; its device moves a gigabyte a second."""
    sizes = Sizes(observation, turns, max_rows, quiet_rows)
    config = LlamaConfig(**{name: value for name, value in SIZES.items() if name != "model_type"})
    num_slots = case.slots(sizes) + sizes.tail_slots + more_slots
    bare = bare_model(config, num_slots, torch.device("cpu"), torch.float32)
    runner = ForwardRunner(bare.model, bare.pool, bare.rope, way=MOVE_KEYS, max_rows=max_rows)
    return Setting(runner, bare, Floors(1e9, 1e10), sizes, EXACT)
