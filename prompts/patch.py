"""RFC 6902 patches, atomic: the state that is patched is never changed, and shares with the new one what stayed."""

from collections.abc import Sequence

import jsonpatch

from prompts.errors import PatchError, StateError
from prompts.json_text import Json, canonical


def apply_patch(state: Json, ops: Sequence[Json]) -> Json:
    """The state after a patch. Raises PatchError, and then nothing has happened.

    Only the containers on the way to what an operation touches are copied; everything else is the same object.
    """
    if not isinstance(ops, (list, tuple)):
        raise PatchError(None, "a patch is an array of operations. Put the operation into one.")
    # Containers made by this call, which it may change; held here, so that no id is given to another object meanwhile.
    own: dict[int, Json] = {}
    for index, operation in enumerate(ops):
        try:
            if "value" in operation:
                canonical(operation["value"])
            patch = jsonpatch.JsonPatch([operation])
            state = _with_own_way(state, operation["path"], own)
            if operation["op"] == "move":
                state = _with_own_way(state, operation["from"], own)
            state = patch.apply(state, in_place=True)
        except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, StateError) as error:
            raise PatchError(index, f"({_short(operation)}) fails: {error}") from None
        except (TypeError, LookupError, ValueError, AttributeError, RecursionError) as error:
            # What the library lets through when an operation is no object or a place has the wrong kind.
            raise PatchError(index, f"({_short(operation)}) fails: {type(error).__name__}: {error}") from None
    return state


def _with_own_way(state: Json, pointer: str, own: dict[int, Json]) -> Json:
    """The state with fresh copies of all containers above the place that the pointer names."""
    parts = jsonpatch.JsonPointer(pointer).parts
    if not parts:
        return state
    root = here = _own_copy(state, own)
    for part in parts[:-1]:
        key = part if isinstance(here, dict) else _index(here, part)
        if key is None or (isinstance(here, dict) and key not in here):
            break  # the library says what is wrong with this pointer
        here[key] = here = _own_copy(here[key], own)
    return root


def _index(array: Json, part: str) -> int | None:
    if isinstance(array, list) and part.isascii() and part.isdigit() and int(part) < len(array):
        return int(part)
    return None


def _own_copy(value: Json, own: dict[int, Json]) -> Json:
    if not isinstance(value, (dict, list)) or id(value) in own:
        return value
    copied = value.copy()
    own[id(copied)] = copied
    return copied


def _short(operation: Json) -> str:
    if not isinstance(operation, dict):
        return type(operation).__name__
    return f"{operation.get('op')} {operation.get('path')}"[:200]
