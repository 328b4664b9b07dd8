"""The legal actions of a turn in words: all that can be wrong with them before a model's tokenizer reads them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from agent_runtime.errors import BadActions
from agent_runtime.schema import expand_schema
from agent_runtime.turn import Action, ActionOption, Json

# An action's parameters are scored with its name while they have at most this many combinations.
MAX_COMBINATIONS = 512
MAX_ANSWERS = 4096

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class LegalAction:
    """One legal action and every way to do it; `ways` None: its parameters are too many to list, and are decoded."""

    option: ActionOption
    ways: tuple[Action, ...] | None


def legal_actions(options: Sequence[ActionOption]) -> tuple[LegalAction, ...]:
    """Return the actions of a turn, those with parameters spelled out where there are few.

    Raises BadActions when there is nothing to choose from, an action is empty, two are written the same, there are too
    many, or a schema is refused.
    """
    if not options:
        raise BadActions("A turn needs at least one action. Send the legal ones.")
    legal: list[LegalAction] = []
    for option in options:
        if not option.id.strip() or "\n" in option.id:
            raise BadActions(f"{option.id!r} is no action: an id needs at least one visible character, on one line.")
        if not _is_text(option.id if option.schema is None else f"{option.id} {compact(option.schema)}"):
            raise BadActions(
                f"Action {option.id!r} or its schema holds half of a surrogate pair: send whole characters."
            )
        legal.append(LegalAction(option, _ways(option)))
    num_answers = sum(1 if each.ways is None else len(each.ways) for each in legal)
    if num_answers > MAX_ANSWERS:
        raise BadActions(f"{num_answers} answers are more than {MAX_ANSWERS}. List fewer, or widen a schema.")
    seen: set[str] = set()
    for text in (answer_text(way) for each in legal for way in each.ways or ()):
        if text in seen:
            raise same_to_the_model(text, text)
        seen.add(text)
    return tuple(legal)


def answer_text(action: Action) -> str:
    """Return an action as the model writes it: its id, then its arguments as compact JSON."""
    return action.id if action.args is None else f"{action.id} {compact(action.args)}"


def compact(value: Json) -> str:
    """Return JSON without spaces, as the model writes it."""
    return _encode(value)


def same_to_the_model(one: str, other: str) -> BadActions:
    """Return the error for two answers that cannot be told apart."""
    return BadActions(f"Actions {one!r} and {other!r} read the same to the model. Give each its own id.")


def _ways(option: ActionOption) -> tuple[Action, ...] | None:
    if option.schema is None:
        return (Action(option.id),)
    combinations = expand_schema(option.schema, MAX_COMBINATIONS)
    return None if combinations is None else tuple(Action(option.id, arguments) for arguments in combinations)


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
