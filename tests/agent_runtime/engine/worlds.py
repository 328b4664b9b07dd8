"""The smallest engine there is: a tiny model of ours and an untouched twin to compare with."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy
import torch
from transformers import PreTrainedModel

from agent_runtime.engine.attention import MOVE_KEYS
from agent_runtime.engine.forward import ForwardRunner
from agent_runtime.engine.kv_geometry import KVGeometry
from agent_runtime.engine.pool import Pool
from agent_runtime.engine.rope import RotaryTable
from agent_runtime.engine.runs import Run
from agent_runtime.engine.span import NOTHING, Placed, Span, View
from tests.tiny_models import CONTEXT, tiny_model

# Keys are moved, and few rows over many keys are attended by oneDNN's products.
PRODUCTS = "products"


@dataclass
class World:
    """A runner over a tiny model, and the twin that plain transformers runs."""

    runner: ForwardRunner
    twin: PreTrainedModel

    @property
    def pool(self) -> Pool:
        return self.runner.pool


def world(kind: str = "llama", *, way: str = MOVE_KEYS, num_slots: int = 4096, seed: int = 0) -> World:
    model = tiny_model(kind, seed)
    config = model.config
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    devices = (torch.device("cpu"),) * config.num_hidden_layers
    pool = Pool(KVGeometry(config.num_key_value_heads, head_dim, torch.float32, devices), num_slots)
    rope = RotaryTable(model.model.rotary_emb.inv_freq, CONTEXT)
    runner = ForwardRunner(model, pool, rope, way=MOVE_KEYS if way == PRODUCTS else way)
    runner.onednn = way == PRODUCTS
    return World(runner, tiny_model(kind, seed))


def random_ids(rng: numpy.random.Generator, length: int) -> list[int]:
    return [int(token) for token in rng.integers(3, 500, size=length)]


def encode(w: World, blocks: Sequence[Sequence[int]], *, anchored: bool = False) -> tuple[list[Run], list[Span]]:
    """Runs for `blocks` and the spans that fill them, `blocks[0]` being the anchor."""
    runs = [w.pool.acquire(len(block)) for block in blocks]
    behind = View((Placed(runs[0], 0),)) if anchored else NOTHING
    spans = [
        Span(block, behind.length if index else 0, behind if index else NOTHING, keep=run)
        for index, (block, run) in enumerate(zip(blocks, runs, strict=True))
    ]
    return runs, spans


def view_of(runs: Sequence[Run], *, anchored: bool = False) -> View:
    """All runs in order; `runs[0]` is the anchor."""
    pieces, place = [], 0
    for index, run in enumerate(runs):
        pieces.append(Placed(run, place - (runs[0].length if anchored and index else 0)))
        place += run.length
    return View(tuple(pieces))
