"""The single bridge between prompt blocks and resident keys and values.

For every block of a prompt: resident in the pool (a hit), else loaded from the store, else encoded in the turn's own
forward. What is encoded is written behind. All books but those of the open matches are kept on the engine's thread.
What the store has is always loaded: for the embedded model on two cores that is an order of magnitude cheaper than
encoding. The cost model that an 8B model on a GPU needs is not built yet.

cache       a prompt placed: which blocks are there, and how the others get there
views       what its turn sees of the pool, and what the spans see that encode its blocks
outbox      blocks copied out behind their forward, and the matches they are kept for
store       what a store of blocks does, and one that keeps none
"""

from agent_runtime.block_cache.cache import BLOCK_MODES, BlockCache, Placement, Staged
from agent_runtime.block_cache.store import BlockStore, MemoryStore, Tensors

__all__ = ["BLOCK_MODES", "BlockCache", "BlockStore", "MemoryStore", "Placement", "Staged", "Tensors"]
