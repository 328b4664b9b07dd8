"""The single bridge between prompt blocks and resident keys and values.

For every block of a prompt: resident in the pool (a hit), else loaded from the store, else encoded in the turn's own
forward. What is encoded is written behind. All books but those of the open matches are kept on the engine's thread.
Behind the pool of a GPU lies pinned memory of the host, behind that the packs of the store. Whether a missing block is
loaded or encoded is decided by what both cost here, measured at start; for the embedded model on two cores loading is
an order of magnitude cheaper.

cache       a prompt placed: which blocks are there, and how the others get there
supply      blocks from outside the pool: the host's memory, packs, or better an encoding
host_tier   blocks in the host's memory, behind the pool
budget      how much of the host's memory that may be
costs       load or encode: what either takes, and which is quicker for all missing blocks together
measuring   the rates that this is decided by, measured on a model at start
views       what its turn sees of the pool, and what the spans see that encode its blocks
outbox      blocks copied out behind their forward, and the matches they are kept for
store       what a store of blocks does, and one that keeps none
"""

from agent_runtime.block_cache.cache import BLOCK_MODES, BlockCache, Placement
from agent_runtime.block_cache.store import BlockStore, MemoryStore, Tensors
from agent_runtime.block_cache.supply import Staged

__all__ = ["BLOCK_MODES", "BlockCache", "BlockStore", "MemoryStore", "Placement", "Staged", "Tensors"]
