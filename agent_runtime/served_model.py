"""A model made ready to serve: its pool, engine, block cache and text encoder, put together in one place."""

import hashlib
from dataclasses import dataclass
from typing import Literal

from agent_runtime.actions import KnownAnswers
from agent_runtime.block_cache import BlockCache, BlockStore, MemoryStore
from agent_runtime.block_cache.budget import open_host_tier
from agent_runtime.block_cache.measuring import measure
from agent_runtime.block_cache.supply import LoadOrEncode, Supply
from agent_runtime.engine.admission import check_config, probe
from agent_runtime.engine.choice import chosen_runner
from agent_runtime.engine.compute_thread import Compute, at_once, computed
from agent_runtime.engine.devices import fitting
from agent_runtime.engine.errors import UnsupportedModel
from agent_runtime.engine.forward import ForwardRunner
from agent_runtime.engine.kv_geometry import KVGeometry
from agent_runtime.engine.loading import LoadedModel
from agent_runtime.engine.pool import Pool
from agent_runtime.engine.rope import RotaryTable
from agent_runtime.engine.scheduler import Engine
from agent_runtime.grammar import Grammar
from agent_runtime.prefetch import Prefetcher
from agent_runtime.token_blocks import BlockTokenizer, KeyMaker
from agent_runtime.turn import Mode

# Rows of a forward that encodes blocks on a GPU while no turn is near: many enough for the rate of its products.
_QUIET_ROWS = 8192


@dataclass(frozen=True, slots=True, eq=False)
class ServedModel:
    """What a turn needs of a model. `close` ends its engine."""

    name: str
    loaded: LoadedModel
    engine: Engine
    cache: BlockCache
    prefetcher: Prefetcher
    tokenizer: BlockTokenizer
    grammar: Grammar
    answers: KnownAnswers
    fingerprint: str

    def resolve_mode(self, mode: Mode | Literal["auto"]) -> Mode:
        """Return the mode to use: `auto` takes a block mode only if weights and adapter declare it."""
        if mode != "auto":
            return mode
        declared = [Mode(name) for name in self.loaded.block_modes]
        return declared[0] if declared else Mode.PREFIX

    def close(self, timeout_s: float | None = None) -> bool:
        """Stop the engine; what waits for it fails. False when its forward takes longer than `timeout_s`."""
        ended = self.engine.close(timeout_s)
        if ended:
            self.engine.runner.close()
        return ended


def geometry_of(loaded: LoadedModel) -> KVGeometry:
    """Return what one token's keys and values look like, and on which device each layer computes them."""
    layers = loaded.model.get_decoder().layers
    devices = tuple(next(layer.parameters()).device for layer in layers)
    return KVGeometry(loaded.num_kv_heads, loaded.head_dim, loaded.kv_dtype, devices)


def serve_model(
    name: str,
    loaded: LoadedModel,
    store: BlockStore,
    *,
    pool_mib: int,
    max_rows: int,
    probed: bool = True,
    host_cache_mib: int | None = None,
    load_or_encode: LoadOrEncode = "load",
) -> ServedModel:
    """Put a loaded model to work.

    `auto` for `load_or_encode` measures first what decides it. `host_cache_mib` None is what suits the device.
    Raises UnsupportedModel if block attention would be wrong for it: by its configuration, or by the probe; and
    DeviceTooSmall if the pool, and what a forward takes, do not fit beside it.
    """
    check_config(loaded.model.config)
    if not loaded.text.text_ids("\n"):
        reason = "its tokenizer drops line ends, and prompts are made of lines"
        raise UnsupportedModel(loaded.name, reason, "Give it the tokenizer it was trained with, or use another model.")
    compute: Compute = computed if loaded.device.type == "cpu" else at_once
    with fitting(f"A pool of {pool_mib} MiB beside the model {loaded.name!r}", "Lower --pool-mib."):
        runner = compute(lambda: _runner(loaded, pool_mib, max_rows, probed=probed))
        host = open_host_tier(name, runner.pool, 0 if load_or_encode == "encode" else host_cache_mib)
        has_choice = load_or_encode == "auto" and (host is not None or not isinstance(store, MemoryStore))
        rates = compute(lambda: measure(runner)) if has_choice else None
    supply = Supply(runner.pool, store, host=host, rates=rates, load_or_encode=load_or_encode)
    quiet_rows = None if loaded.device.type == "cpu" else _QUIET_ROWS
    engine = Engine(runner, max_rows=max_rows, quiet_rows=quiet_rows, compute=compute)
    fingerprint = fingerprint_of(loaded)
    tokenizer = BlockTokenizer(loaded.text, KeyMaker(fingerprint))
    grammar = Grammar(
        loaded.text.tokenizer,
        num_logits=loaded.num_logits,
        end_of_turn=loaded.text.end_of_turn,
        device=loaded.device,
    )
    cache = BlockCache(engine, store, loaded.positions, supply)
    prefetcher = Prefetcher(cache, loaded.context_limit)
    answers = KnownAnswers(loaded.text, grammar)
    return ServedModel(name, loaded, engine, cache, prefetcher, tokenizer, grammar, answers, fingerprint)


def _runner(loaded: LoadedModel, pool_mib: int, max_rows: int, *, probed: bool) -> ForwardRunner:
    """Return a model that has been given a pool and positions, and has proved that it can be given blocks."""
    geometry = geometry_of(loaded)
    rope = RotaryTable(loaded.model.get_decoder().rotary_emb.inv_freq, loaded.context_limit)
    pool = Pool(geometry, max(pool_mib * 2**20 // geometry.bytes_per_token, 1))
    runner = chosen_runner(loaded.model, pool, rope, max_rows=max_rows)
    if probed:
        probe(runner, loaded.model)
    return runner


def fingerprint_of(loaded: LoadedModel) -> str:
    """Return the digest (hex) of all that keys and values depend on besides the tokens."""
    rotary = loaded.model.get_decoder().rotary_emb
    digest = hashlib.blake2b(digest_size=32)
    for part in (loaded.digest, loaded.tokenizer_digest, str(loaded.kv_dtype), repr(float(rotary.attention_scaling))):
        digest.update(len(part).to_bytes(8, "little") + part.encode())
    digest.update(rotary.inv_freq.detach().cpu().float().numpy().tobytes())
    return digest.hexdigest()
