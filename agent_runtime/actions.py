"""The legal actions of a turn as answers the model can write, each with the token ids that score it."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile
from operator import eq

from agent_runtime.engine.text import TextEncoder
from agent_runtime.errors import BadActions
from agent_runtime.grammar import Grammar, expand_schema
from agent_runtime.turn import Action, ActionOption, Json

# An action's parameters are scored with its name while they have at most this many combinations.
MAX_COMBINATIONS = 512
# A longer answer is no action, it is a text: let it be decoded under a schema.
MAX_ANSWER_TOKENS = 64
MAX_ANSWERS = 4096
# All that is scored is part of one forward, whose memory grows with the square of these rows.
MAX_ANSWER_ROWS = 8192
# Up to here the observation lists every combination; beyond, it shows the schema.
_LISTED_COMBINATIONS = 24


@dataclass(frozen=True, slots=True)
class Candidate:
    """One scored answer. `schema` is set when the parameters are decoded after the name was chosen.

    Then `ids` end with a space and the `opened` tokens with which every argument object of the schema begins: a name is
    no beginning of a longer one ("go" and "go north").
    """

    action: Action
    ids: tuple[int, ...]
    schema: Mapping[str, Json] | None = None
    opened: tuple[int, ...] = ()

    def with_args(self, text: str) -> Action:
        """Return the action with the arguments that were decoded, the opened ones included."""
        return Action(self.action.id, json.loads(text))


@dataclass(frozen=True, slots=True)
class Answers:
    """All that a turn decides among: the candidates, and what the observation says of them (answer, explanation)."""

    candidates: tuple[Candidate, ...]
    listed: tuple[tuple[str, str], ...]

    @property
    def longest(self) -> int:
        """Return the tokens of the longest answer."""
        return max(len(candidate.ids) for candidate in self.candidates)

    @property
    def decodes(self) -> bool:
        """Return whether some action's parameters have to be decoded."""
        return any(candidate.schema is not None for candidate in self.candidates)


def answer_text(action: Action) -> str:
    """Return an action as the model writes it: its id, then its arguments as compact JSON."""
    return action.id if action.args is None else f"{action.id} {_compact(action.args)}"


def _compact(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def list_answers(options: Sequence[ActionOption], text: TextEncoder, grammar: Grammar) -> Answers:
    """Return the answers that `options` allow.

    Raises BadActions when there is nothing to choose from, an action is empty or too long, two read the same, or a
    schema is refused.
    """
    if not options:
        raise BadActions("A turn needs at least one action. Send the legal ones.")
    candidates: list[Candidate] = []
    listed: list[tuple[str, str]] = []
    for option in options:
        if not option.id.strip() or "\n" in option.id:
            raise BadActions(f"{option.id!r} is no action: an id needs at least one visible character, on one line.")
        if not _is_text(f"{option.id} {_compact(option.schema)}"):
            raise BadActions(
                f"Action {option.id!r} or its schema holds half of a surrogate pair: send whole characters."
            )
        made, shown = _of_option(option, text, grammar)
        candidates.extend(made)
        listed.extend(shown)
    if len(candidates) > MAX_ANSWERS:
        raise BadActions(f"{len(candidates)} answers are more than {MAX_ANSWERS}. List fewer, or widen a schema.")
    by_ids: dict[tuple[int, ...], Candidate] = {}
    for candidate in candidates:
        if len(candidate.ids) > MAX_ANSWER_TOKENS:
            raise BadActions(
                f"Action {answer_text(candidate.action)!r} has {len(candidate.ids)} tokens, more than "
                f"{MAX_ANSWER_TOKENS}. Give it a short id and explain it in its text."
            )
        other = by_ids.setdefault(candidate.ids, candidate)
        if other is not candidate:
            raise BadActions(
                f"Actions {answer_text(other.action)!r} and {answer_text(candidate.action)!r} read the same to the "
                "model. Give each its own id."
            )
    if sum(len(ids) for ids in by_ids) > MAX_ANSWER_ROWS and (rows := _num_rows(by_ids)) > MAX_ANSWER_ROWS:
        raise BadActions(
            f"Scoring the {len(by_ids)} answers takes {rows} tokens, more than {MAX_ANSWER_ROWS}. List fewer, give "
            "parameters shorter values, or widen a schema, so that they are decoded."
        )
    return Answers(tuple(candidates), tuple(listed))


def _num_rows(answers: Collection[tuple[int, ...]]) -> int:
    """Return how many tokens are left of the answers when equal beginnings count once."""
    in_order = sorted(answers)
    shared = sum(sum(takewhile(bool, map(eq, before, ids))) for before, ids in pairwise(in_order))
    return sum(map(len, in_order)) - shared


def _of_option(
    option: ActionOption, text: TextEncoder, grammar: Grammar
) -> tuple[list[Candidate], list[tuple[str, str]]]:
    if option.schema is None:
        return [Candidate(Action(option.id), tuple(text.answer_ids(option.id)))], [(option.id, option.text)]
    combinations = expand_schema(option.schema, MAX_COMBINATIONS)
    if combinations is None:
        # Built once here, so that a schema which the grammar library rejects is refused before anything is computed.
        opened = tuple(grammar.arguments(option.schema).forced())
        ids = (*text.block_ids(option.id), *text.block_ids(" "), *opened)
        shown = [(f"{option.id} {_compact(option.schema)}", option.text)]
        return [Candidate(Action(option.id), ids, option.schema, opened)], shown
    actions = [Action(option.id, arguments) for arguments in combinations]
    candidates = [Candidate(action, tuple(text.answer_ids(answer_text(action)))) for action in actions]
    if len(actions) > _LISTED_COMBINATIONS:
        return candidates, [(f"{option.id} {_compact(option.schema)}", option.text)]
    return candidates, [(answer_text(action), option.text) for action in actions]
