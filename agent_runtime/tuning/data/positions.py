"""Which split a position of a game belongs to: exactly one, and its text alone says which.

Small games come to the same positions again and again, whatever their seed. If a file could hold any of them, a test
would measure what was learned by heart. So a file holds the positions of its split only, and files of different splits
share none, even if they were generated apart, with other seeds, other options, and by people who never met.
"""

import hashlib
import json
from collections.abc import Mapping
from types import MappingProxyType

from agent_runtime.tuning.samples import Sample, Split
from prompts.block import Prompt, Role

# Of a hundred positions.
SHARES: Mapping[Split, int] = MappingProxyType({"train": 90, "validation": 5, "test": 5})


def split_of(prompt: Prompt) -> Split:
    """Return the split of the position that a prompt is about: its state's blocks and its observation.

    Who the agent is and what it did before make no other position of it.
    """
    blocks = [(block.name, block.text) for block in prompt.blocks if block.role not in (Role.PERSONA, Role.HISTORY)]
    place = int.from_bytes(_digest([blocks, prompt.observation])) % sum(SHARES.values())
    for split, share in SHARES.items():
        place -= share
        if place < 0:
            return split
    raise AssertionError("shares are above 0")


def position_of(sample: Sample) -> bytes:
    """Return a digest of what a sample is about: who the agent is and what it did before make no other position."""
    roles = (Role.PERSONA, Role.HISTORY)
    blocks = [block for block in sample.blocks if block[0].partition("/")[0] not in roles]
    return _digest([blocks, [ask.observation for ask in sample.asks]])


def _digest(said: object) -> bytes:
    return hashlib.blake2b(json.dumps(said).encode(), digest_size=8).digest()
