"""A whole runtime over a tiny random model, in process."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent_runtime.block_cache import MemoryStore
from agent_runtime.block_cache.supply import LoadOrEncode
from agent_runtime.engine.loading import LoadedModel, ModelSpec, load_model
from agent_runtime.engine.scheduler import Engine
from agent_runtime.runtime import AgentRuntime
from agent_runtime.served_model import serve_model
from agent_runtime.token_blocks import KEY_FORMAT
from agent_runtime.turn import Account, ActionOption, Decide, MatchSpec, Mode, SessionSpec, TurnRequest, TurnResult
from kv_store import Store
from kv_store.limits import DEFAULT_LIMITS, StoreLimits
from tests.tiny_models import save_tiny_model

GAME = "duel"
_FILES = {
    "game.toml": (
        'name = "duel"\nhistory_turns = 2\n'
        '[[live]]\nmatch = "/clock"\n'
        '[[segment]]\nmatch = "/units/*"\nname = "unit/{key}"\nkey = "id"\norder = 1\n'
        '[[segment]]\nmatch = "/secrets/*"\nname = "secret/{key}"\norder = 2\n'
    ),
    "rules.md": "Answer with one listed action.\n",
    "observation.md": "{{ text }}{% for a, b in actions %} {{ a }}{% endfor %}{{ last_failure or '' }}\n",
}
ACTIONS = (ActionOption("hold", "stay"), ActionOption("go north"), ActionOption("go south"), ActionOption("attack"))


def write_game(folder: Path) -> Path:
    """A small game of units and secrets; returns the folder of game folders."""
    (folder / GAME).mkdir(parents=True, exist_ok=True)
    for name, text in _FILES.items():
        (folder / GAME / name).write_text(text, encoding="utf-8")
    return folder


def load_tiny(folder: Path, kind: str = "llama", seed: int = 0) -> LoadedModel:
    save_tiny_model(folder / f"{kind}-{seed}", kind, seed)
    return load_model(ModelSpec(source=str(folder / f"{kind}-{seed}")), cache=folder / "cache")


@contextmanager
def runtime(
    loaded: LoadedModel,
    games: Path,
    *,
    store: Path | None = None,
    pool_mib: int = 16,
    max_rows: int = 512,
    limits: StoreLimits = DEFAULT_LIMITS,
    host_cache_mib: int | None = None,
    load_or_encode: LoadOrEncode = "load",
) -> Iterator[AgentRuntime]:
    """A runtime that is closed at the end, its pool's books checked."""
    kept = Store(store, fingerprint=KEY_FORMAT, limits=limits) if store else None
    served = serve_model(
        "default",
        loaded,
        kept or MemoryStore(),
        pool_mib=pool_mib,
        max_rows=max_rows,
        probed=False,
        host_cache_mib=host_cache_mib,
        load_or_encode=load_or_encode,
    )
    made = AgentRuntime({"default": served}, games=[games], store=kept)
    try:
        yield made
        served.cache.written_behind(30)
        served.engine.ask(served.cache.check, 30)
    finally:
        made.close()


def state(num_units: int = 5, **changes: Any) -> dict[str, Any]:
    """A state of units u0, u1, ...; `changes` name a unit and its new hp."""
    units = [{"id": f"u{i}", "hp": 10 + i, "at": ["mill", "gate", "camp"][i % 3]} for i in range(num_units)]
    for unit in units:
        unit["hp"] = changes.get(str(unit["id"]), unit["hp"])
    return {"clock": 1, "units": units, "secrets": {"red": "attack at dawn", "blue": "hold the mill"}}


def open_duel(
    made: AgentRuntime, mode: Mode = Mode.STAR, *, match: str = "m", sessions: tuple[str, ...] = ("s",), **options: Any
) -> None:
    made.open_match(MatchSpec(match, GAME, mode=mode))
    for session in sessions:
        made.open_session(SessionSpec(session, match, **options))


def ask(turn_id: int, frame: int = 0, session: str = "s", **options: Any) -> TurnRequest:
    decide = options.pop("decide", Decide())
    return TurnRequest(
        session, turn_id, frame, options.pop("observation", "A noise."), options.pop("actions", ACTIONS), decide
    )


def play(made: AgentRuntime, turn_id: int, frame: int = 0, session: str = "s", **options: Any) -> TurnResult:
    return made.begin_turn(ask(turn_id, frame, session, **options)).run()


def account(result: TurnResult) -> Account:
    assert result.account is not None
    return result.account


def logprobs(result: TurnResult) -> list[float]:
    return [score.logprob for score in result.scores]


@contextmanager
def standing_still(engine: Engine) -> Iterator[threading.Event]:
    """The engine's thread waits until the event is set, or the block is left: a queue can build up."""
    held, gate = threading.Event(), threading.Event()

    def wait() -> None:
        held.set()
        gate.wait(60)

    engine.soon(wait)
    assert held.wait(60)
    try:
        yield gate
    finally:
        gate.set()


def wait_until(is_so: Callable[[], bool], limit_s: float = 60.0) -> None:
    """Return when something is so that no event tells of."""
    end = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.001)
