"""Lanes: one runtime per replayed mode, all over one loaded model, each with a pool of its own of equal size."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from agent_runtime.block_cache import BlockStore, MemoryStore
from agent_runtime.engine.loading import LoadedModel
from agent_runtime.replay.report import lane_labels
from agent_runtime.runtime import AgentRuntime
from agent_runtime.served_model import ServedModel, serve_model
from agent_runtime.token_blocks import BlockTokenizer, KeyMaker
from agent_runtime.turn import Mode

# Longer than the encoding of any prompt that fits a context takes on the slowest machine.
_SETTLE_S = 600.0
# More than the prompts of many sessions have at a time.
_REMEMBERED_BLOCKS = 8192
_REMEMBERED_TOKENS = 250_000


@dataclass(frozen=True, slots=True, eq=False)
class Lane:
    """One mode of a replay. Matches and sessions keep their recorded names in it: seeded draws depend on them."""

    label: str
    mode: Mode
    runtime: AgentRuntime
    served: ServedModel

    def settle(self) -> None:
        """Return when nothing is under way any more: prefetched blocks, history, and what is written behind."""
        self.served.prefetcher.finish(_SETTLE_S)
        self.served.cache.written_behind(_SETTLE_S)

    def put_again(self) -> bool:
        """Give the store once more what it had no room for; False when there is nothing of that kind."""
        return self.served.cache.put_again(_SETTLE_S)


@contextmanager
def open_lanes(
    loaded: LoadedModel,
    modes: Sequence[Mode],
    *,
    games: Sequence[Path] = (),
    pool_mib: int = 512,
    stores: Callable[[int], BlockStore] = lambda lane: MemoryStore(),
) -> Iterator[tuple[Lane, ...]]:
    """Lanes for `modes`; a mode that is named twice gets two, which shows the noise of the machine.

    `stores` gives each lane, by its number, what it keeps blocks in.
    """
    # What a server remembers of texts is bounded too, but by what is much for a replay of many lanes.
    text = loaded.text.copy(cache_tokens=_REMEMBERED_TOKENS)
    loaded = replace(loaded, text=text)
    with ExitStack() as stack:
        lanes = []
        for index, (label, mode) in enumerate(zip(lane_labels(modes), modes, strict=True)):
            # One probe is enough: the lanes share the model.
            served = serve_model("default", loaded, stores(index), pool_mib=pool_mib, max_rows=512, probed=index == 0)
            served = replace(
                served, tokenizer=BlockTokenizer(text, KeyMaker(served.fingerprint), most_blocks=_REMEMBERED_BLOCKS)
            )
            runtime = AgentRuntime({"default": served}, games=games)
            stack.callback(runtime.close)
            lanes.append(Lane(label, mode, runtime, served))
        yield tuple(lanes)
