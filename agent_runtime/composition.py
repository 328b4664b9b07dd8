"""From settings to a runtime: the store, the models, and the runtime over them."""

from agent_runtime.block_cache import MemoryStore
from agent_runtime.config import RuntimeSettings, StoreSettings
from agent_runtime.engine.loading import ModelSpec, load_model
from agent_runtime.runtime import AgentRuntime
from agent_runtime.served_model import serve_model
from agent_runtime.token_blocks import KEY_FORMAT
from kv_store import Store


def open_runtime(settings: RuntimeSettings) -> AgentRuntime:
    """Open the store, load the models, each with the adapter of its settings, and put them together.

    Raises what each of them raises.
    """
    store = _open_store(settings.store)
    try:
        served = {
            name: serve_model(
                name,
                load_model(
                    ModelSpec(
                        source=model.source,
                        adapter=model.adapter,
                        dtype=model.dtype,
                        device_map=model.device_map,
                        quantization_config=model.quantization_config,
                    )
                ),
                store or MemoryStore(),
                pool_mib=settings.engine.pool_mib,
                max_rows=settings.engine.max_rows,
                host_cache_mib=settings.engine.host_cache_mib,
                load_or_encode=settings.engine.load_or_encode,
            )
            for name, model in settings.models.items()
        }
    except BaseException:
        if store is not None:
            store.close(0)
        raise
    return AgentRuntime(served, games=settings.games, store=store, default_mode=settings.mode)


def _open_store(settings: StoreSettings) -> Store | None:
    """Open it before any model is loaded: that another server holds it should not take half a minute to hear."""
    if settings.folder is None:
        return None
    budget_bytes = None if settings.budget_mib is None else settings.budget_mib * 2**20
    # Which model a block belongs to is in its key; the store's fingerprint names what its tensors mean.
    return Store(settings.folder, fingerprint=KEY_FORMAT, budget_bytes=budget_bytes)
