"""RFC 6902 patches, atomic: the state that is patched is never changed, and shares with the new one what stayed."""

from collections.abc import Sequence

from prompts.errors import PatchError, StateError
from prompts.json_text import Json, canonical


def apply_patch(state: Json, ops: Sequence[Json]) -> Json:
    """The state after a patch. Raises PatchError, and then nothing has happened.

    Only the containers on the way to what an operation touches are copied; everything else is the same object.
    """
    import jsonpatch  # here, so that prompts of whole states need no more than Jinja

    kinds = jsonpatch.JsonPatch.operations
    if not isinstance(ops, (list, tuple)):
        raise PatchError(None, "a patch is an array of operations. Put the operation into one.")
    # Containers made by this call, which it may change; held here, so that no id is given to another object meanwhile.
    own: dict[int, Json] = {}
    for index, operation in enumerate(ops):
        try:
            if "value" in operation:
                canonical(operation["value"])
            name = operation.get("op") if isinstance(operation, dict) else None
            if not isinstance(name, str) or name not in kinds:
                jsonpatch.JsonPatch([operation])  # which says what is wrong
            made = kinds[operation["op"]](operation)  # a `JsonPatch` would read it once more, and once when it applies
            target = made.pointer.parts
            state = _with_own_way(state, target, own)
            if operation["op"] == "move":
                source = jsonpatch.JsonPointer(operation["from"]).parts
                state = _with_own_way(state, source, own)
                state = _with_own_way(state, _before_removal(target, source), own)
            state = made.apply(state)
        except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, StateError) as error:
            raise PatchError(index, f"({_short(operation)}) fails: {error}") from None
        except (TypeError, LookupError, ValueError, AttributeError, RecursionError) as error:
            # What the library lets through when an operation is no object or a place has the wrong kind.
            raise PatchError(index, f"({_short(operation)}) fails: {type(error).__name__}: {error}") from None
    return state


def _before_removal(target: list[str], source: list[str]) -> list[str]:
    """Where the target of a move stands before it: a member that leaves an array shifts those behind it."""
    here = len(source) - 1
    if 0 <= here < len(target) and target[:here] == source[:here]:
        place, left = target[here], source[here]
        if _is_index(place) and _is_index(left) and int(place) >= int(left):
            return [*target[:here], str(int(place) + 1), *target[here + 1 :]]
    return target


def _with_own_way(state: Json, parts: list[str], own: dict[int, Json]) -> Json:
    """The state with fresh copies of all containers above the place that a pointer's parts name."""
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
    if isinstance(array, list) and _is_index(part) and int(part) < len(array):
        return int(part)
    return None


def _is_index(part: str) -> bool:
    return part.isascii() and part.isdigit()


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
