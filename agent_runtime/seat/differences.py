"""What a state changed since the last one, as an RFC 6902 patch: so a turn costs what changed, not what there is.

jsonpatch makes smaller patches, looks at every leaf for them, and does not keep the order of members, which may be the
order of blocks.
"""

import json

from agent_runtime.turn import Json
from game_adapters.game_state import pointer_label

Operation = dict[str, Json]

_encode = json.JSONEncoder(check_circular=False).encode


def patch_between(old: Json, new: Json) -> list[Operation] | None:
    """Return operations that lead from one JSON state to another, member order and types included.

    None if there is no shorter way than the whole new state.
    """
    return _changes(old, new, "")


def _changes(old: Json, new: Json, pointer: str) -> list[Operation] | None:
    """None: replace what stands at `pointer`."""
    if _encode(old) == _encode(new):  # 1, 1.0 and true are equal to Python and not to a reader
        return []
    if isinstance(old, dict) and isinstance(new, dict):
        kept = [key for key in old if key in new]
        if kept and kept == list(new)[: len(kept)]:
            removed = [{"op": "remove", "path": f"{pointer}/{pointer_label(key)}"} for key in old if key not in new]
            added: list[Operation] = [
                {"op": "add", "path": f"{pointer}/{pointer_label(key)}", "value": new[key]}
                for key in list(new)[len(kept) :]
            ]
            return [*removed, *_of_members([(pointer_label(key), old[key], new[key]) for key in kept], pointer), *added]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return _of_members([(str(i), *pair) for i, pair in enumerate(zip(old, new, strict=True))], pointer)
    return None


def _of_members(members: list[tuple[str, Json, Json]], pointer: str) -> list[Operation]:
    operations: list[Operation] = []
    for label, old, new in members:
        place = f"{pointer}/{label}"
        changes = _changes(old, new, place)
        operations += [{"op": "replace", "path": place, "value": new}] if changes is None else changes
    return operations
