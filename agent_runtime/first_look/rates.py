"""How fast this machine is with a model: encoding blocks, decoding tokens, loading blocks from a disk.

Measured through the runtime itself, as a game would meet it: a match with a state of blocks that are new, a turn that
speaks, and the same match taken up again from a store.
"""

import math
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent_runtime.adapter_choice import Adapter, AdapterChoice
from agent_runtime.block_cache.costs import break_even_read_tokens_s
from agent_runtime.block_cache.supply import LoadOrEncode
from agent_runtime.engine.loading import LoadedModel, ModelSpec, load_model
from agent_runtime.runtime import AgentRuntime
from agent_runtime.served_model import geometry_of, serve_model
from agent_runtime.token_blocks import KEY_FORMAT
from agent_runtime.turn import ActionOption, Decide, MatchSpec, Mode, SessionReady, SessionSpec, TurnRequest
from kv_store import Store

_GAME = "rates"
_FILES = {
    "game.toml": 'name = "rates"\n[[segment]]\nmatch = "/parts/*"\nname = "part/{key}"\n',
    "rules.md": "Tell what you see.\n",
}
_NUM_BLOCKS, _TOKENS_A_BLOCK = 12, 96
_WORDS = "north gate river guard spear mill winter bridge harbour lantern horse stone tower signal road market".split()
_SAID_TOKENS = 24
# Fewer tokens than this say nothing about a rate.
_LEAST_DECODED = 4
_PATIENCE_S = 300.0


@dataclass(frozen=True, slots=True)
class Rates:
    """Tokens a second; None where nothing could be measured. `loaded_mib_s` counts keys and values, verified.

    The last four are what decides between loading and encoding (`load_or_encode = "auto"`), as a server measures it at
    its start: `break_even_mib_s` is how fast packs have to be read for many blocks to come as quickly as by encoding
    them, None where nothing is quick enough. `host_cache_mib` is the most that lies behind the pool.
    """

    load_model_s: float
    encoded_tokens_s: float
    decoded_tokens_s: float | None
    loaded_tokens_s: float | None
    loaded_mib_s: float | None
    bytes_a_token: int
    forward_ms: float
    copied_mib_s: float
    break_even_mib_s: float | None
    host_cache_mib: int


def measure(model: str | LoadedModel, disk: Path | None = None, adapter: Adapter = AdapterChoice.DEFAULT) -> Rates:
    """Load a model and measure it; what is written for that lies in a temporary folder in `disk`, and goes again.

    Raises what loading a model raises, and what the store raises.
    """
    begin = time.perf_counter()
    loaded = model if isinstance(model, LoadedModel) else load_model(ModelSpec(source=model, adapter=adapter))
    load_model_s = time.perf_counter() - begin
    with tempfile.TemporaryDirectory(dir=disk, prefix="hotseat-doctor-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        _write_game(folder)
        with _runtime(loaded, folder, probed=True, load_or_encode="auto") as runtime:
            supply = runtime.served_model().cache.supply
            assert supply.rates is not None, "a store and `auto` have rates measured"
            costs = supply.rates
            host_bytes = supply.host.stats().budget_bytes if supply.host is not None else 0
            _opened(runtime, loaded, "warm-up", seed=1)
            encoded = _opened(runtime, loaded, "measured", seed=2)
            decoded_tokens_s = _decoded_tokens_s(runtime)
            runtime.flush("measured", _PATIENCE_S)
        with _runtime(loaded, folder, probed=False) as runtime:
            _opened(runtime, loaded, "warm-up", seed=1)
            taken_up = _opened(runtime, loaded, "measured", seed=None)
    bytes_a_token = geometry_of(loaded).bytes_per_token
    even = break_even_read_tokens_s(costs)
    loaded_tokens_s = 1e3 * taken_up.loaded / taken_up.ms if taken_up.loaded else None
    return Rates(
        load_model_s=load_model_s,
        encoded_tokens_s=1e3 * encoded.encoded / encoded.ms,
        decoded_tokens_s=decoded_tokens_s,
        loaded_tokens_s=loaded_tokens_s,
        loaded_mib_s=None if loaded_tokens_s is None else loaded_tokens_s * bytes_a_token / 2**20,
        bytes_a_token=bytes_a_token,
        forward_ms=1e3 * costs.forward_s,
        copied_mib_s=costs.copy_tokens_s * bytes_a_token / 2**20,
        break_even_mib_s=None if math.isinf(even) else even * bytes_a_token / 2**20,
        host_cache_mib=host_bytes // 2**20,
    )


def _write_game(folder: Path) -> None:
    (folder / _GAME).mkdir()
    for name, text in _FILES.items():
        (folder / _GAME / name).write_text(text, encoding="utf-8")


@contextmanager
def _runtime(
    loaded: LoadedModel, folder: Path, *, probed: bool, load_or_encode: LoadOrEncode = "load"
) -> Iterator[AgentRuntime]:
    store = Store(folder / "store", fingerprint=KEY_FORMAT)
    try:
        served = serve_model(
            "default", loaded, store, pool_mib=512, max_rows=512, probed=probed, load_or_encode=load_or_encode
        )
    except BaseException:
        store.close(0)
        raise
    runtime = AgentRuntime({"default": served}, games=[folder / _GAME], store=store)
    try:
        yield runtime
    finally:
        runtime.close()


def _opened(runtime: AgentRuntime, loaded: LoadedModel, name: str, seed: int | None) -> SessionReady:
    """Open a match and a session in it, with a state drawn from `seed` unless the store has one; wait for blocks."""
    opened = runtime.open_match(MatchSpec(name, _GAME, mode=Mode.STAR))
    if opened.frame is None and seed is not None:
        runtime.put_state(name, 0, state={"parts": _parts(loaded, seed)})
    ready, said = threading.Event(), list[SessionReady]()

    def hear(each: SessionReady) -> None:
        said.append(each)
        ready.set()

    runtime.open_session(SessionSpec(name, name), hear)
    if not ready.wait(_PATIENCE_S):
        raise TimeoutError(f"blocks were not encoded within {_PATIENCE_S:g} s")
    return said[0]


def _parts(loaded: LoadedModel, seed: int) -> dict[str, str]:
    """Texts that no other seed has, short enough for the model's context."""
    num_tokens = min(_TOKENS_A_BLOCK, loaded.context_limit // (4 * _NUM_BLOCKS))
    parts = {}
    for number in range(_NUM_BLOCKS):
        text, place = "", number + 7 * seed
        while loaded.text.count(text) < num_tokens:
            text += f"{_WORDS[place % len(_WORDS)]} {place * seed} "
            place += 1 + number
        parts[f"{seed}-{number}"] = text
    return parts


def _decoded_tokens_s(runtime: AgentRuntime) -> float | None:
    decide = Decide(say_tokens=_SAID_TOKENS)
    request = TurnRequest("measured", 0, 0, "Tell a long story.", (ActionOption("speak"),), decide)
    account = runtime.begin_turn(request).run().account
    if account is None or account.decoded < _LEAST_DECODED:
        return None
    return 1e3 * account.decoded / (account.total_ms - account.ttft_ms)
