"""A turn to ask of a state, as a person types it; all of it is checked before any model is loaded."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from agent_runtime.designer.frames import read_state
from agent_runtime.errors import BadActions, named
from agent_runtime.legal import legal_actions
from agent_runtime.schema import check_schema
from agent_runtime.server.client_messages import ListedAction
from agent_runtime.turn import ActionOption, Decide, Json, Mode
from prompts import Game, ObservationInput, StateBlocks, assemble

_LISTED = TypeAdapter(list[str | ListedAction])


@dataclass(frozen=True, slots=True)
class Question:
    """What to ask: the state, what the agent observes, who it is, and what it may do."""

    game: Game
    state: Json
    actions: tuple[ActionOption, ...]
    observation: str = ""
    persona: str | None = None
    sight: tuple[str, ...] = ()
    mode: Mode | Literal["auto"] = "auto"
    decide: Decide = Decide(how="distribution")


def read_question(
    game: Game,
    state: Path | None,
    actions: Sequence[str],
    *,
    observation: str = "",
    persona: str | None = None,
    sight: Sequence[str] = (),
    mode: Mode | Literal["auto"] = "auto",
) -> Question:
    """Return a question, all of it checked that can be checked without a model.

    Raises BadStates, BadActions, UnknownName, and what cutting the state and writing the observation raise.
    """
    if persona is not None:
        named("persona", persona, game.personas)
    listed = read_actions(actions)
    found: Json = {} if state is None else read_state(state)
    blocks = StateBlocks(game, len, sight)
    blocks.replace(found)
    # What its templates make of it is of no use here, but they may break on it.
    told = ObservationInput(
        observation, blocks.live, [(action.id, action.text) for action in listed], persona_name=persona
    )
    assemble(game, persona=None, state=blocks, private=(), history=(), observation=told)
    return Question(game, found, listed, observation, persona, tuple(sight), mode)


def read_actions(words: Sequence[str]) -> tuple[ActionOption, ...]:
    """Read actions as they are typed: names between commas, or a JSON array as in a turn.

    Raises BadActions for whatever a turn would refuse of them, but for their lengths in tokens, which are a model's.
    """
    listed: list[ActionOption] = []
    for each in words:
        if each.lstrip().startswith("["):
            listed += _from_json(each)
        else:
            listed += [ActionOption(name.strip()) for name in each.split(",") if name.strip()]
    if not listed:
        raise BadActions("There is no action to choose from. Name some: --actions fold,call")
    twice = next(
        (action.id for place, action in enumerate(listed) if action.id in {a.id for a in listed[:place]}), None
    )
    if twice is not None:
        raise BadActions(f"The action {twice!r} is named twice. Name each once.")
    for action in legal_actions(listed):
        if action.ways is None and action.option.schema is not None:
            check_schema(action.option.schema)
    return tuple(listed)


def _from_json(text: str) -> list[ActionOption]:
    try:
        found = _LISTED.validate_python(json.loads(text))
    except (ValueError, RecursionError) as error:
        first = error.errors(include_url=False)[0] if isinstance(error, ValidationError) else None
        where = "" if first is None else "".join(f"[{step}]" for step in first["loc"] if isinstance(step, int))
        raise BadActions(
            f"The actions{where} are no JSON array of names or of actions as in a turn: "
            f"{first['msg'] if first else error}."
        ) from None
    return [
        ActionOption(each) if isinstance(each, str) else ActionOption(each.id, each.text, each.schema_)
        for each in found
    ]
