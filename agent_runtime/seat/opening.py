"""What a seat is opened with: its game's folder and a runtime of its own."""

from collections.abc import Sequence
from pathlib import Path

from agent_runtime.adapter_choice import Adapter, AdapterChoice
from agent_runtime.block_cache import MemoryStore
from agent_runtime.engine.loading import LoadedModel, ModelSpec, load_model
from agent_runtime.runtime import AgentRuntime
from agent_runtime.served_model import serve_model
from game_adapters import GameContract
from game_adapters.registry import game_folder


def folder_of(contract: GameContract, games: Sequence[Path]) -> Path:
    """Return the game's folder: one of its name in `games`, or its own."""
    own = game_folder(contract)
    for parent in games:
        for folder in (Path(parent), Path(parent) / own.name):
            if folder.resolve().name == own.name and (folder / "game.toml").is_file():
                return folder
    return own


def own_runtime(
    model: str | LoadedModel,
    folder: Path,
    pool_mib: int,
    max_rows: int,
    adapter: Adapter = AdapterChoice.DEFAULT,
) -> AgentRuntime:
    """Return a runtime for one seat: it computes nothing ahead, for what a turn needs rides in the turn's forward."""
    loaded = model if isinstance(model, LoadedModel) else load_model(ModelSpec(source=model, adapter=adapter))
    served = serve_model("default", loaded, MemoryStore(), pool_mib=pool_mib, max_rows=max_rows)
    return AgentRuntime({"default": served}, games=[folder], prefetches=False)
