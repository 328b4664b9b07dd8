"""The legal actions of a turn as answers the model can write, each with the token ids that score it."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile
from operator import eq

from agent_runtime.engine.text import TextEncoder
from agent_runtime.errors import BadActions
from agent_runtime.grammar import Grammar
from agent_runtime.legal import MAX_ANSWERS, LegalAction, answer_text, compact, legal_actions, same_to_the_model
from agent_runtime.turn import Action, ActionOption, Json

# A longer answer is no action, it is a text: let it be decoded under a schema.
MAX_ANSWER_TOKENS = 64
# All that is scored is part of one forward, whose memory grows with the square of these rows.
MAX_ANSWER_ROWS = 8192
# Beyond so many names, all are read anew: games have some hundreds, and those that make them up have no end of them.
_MOST_KNOWN = 16_384
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

    def divisors(self, *, length_normalised: bool) -> tuple[int, ...]:
        """Return what each log-probability is divided by before answers are compared: 1, or the answer's tokens."""
        return tuple(len(candidate.ids) if length_normalised else 1 for candidate in self.candidates)


def list_answers(options: Sequence[ActionOption], text: TextEncoder, grammar: Grammar) -> Answers:
    """Return the answers that `options` allow.

    Raises BadActions when there is nothing to choose from, an action is empty or too long, two read the same, or a
    schema is refused.
    """
    candidates: list[Candidate] = []
    listed: list[tuple[str, str]] = []
    for legal in legal_actions(options):
        made, shown = _of_action(legal, text, grammar)
        candidates.extend(made)
        listed.extend(shown)
    by_ids: dict[tuple[int, ...], Candidate] = {}
    for candidate in candidates:
        if len(candidate.ids) > MAX_ANSWER_TOKENS:
            raise BadActions(
                f"Action {answer_text(candidate.action)!r} has {len(candidate.ids)} tokens, more than "
                f"{MAX_ANSWER_TOKENS}. Give it a short id and explain it in its text."
            )
        other = by_ids.setdefault(candidate.ids, candidate)
        if other is not candidate:
            raise same_to_the_model(answer_text(other.action), answer_text(candidate.action))
    if sum(len(ids) for ids in by_ids) > MAX_ANSWER_ROWS and (rows := _num_rows(by_ids)) > MAX_ANSWER_ROWS:
        raise BadActions(
            f"Scoring the {len(by_ids)} answers takes {rows} tokens, more than {MAX_ANSWER_ROWS}. List fewer, give "
            "parameters shorter values, or widen a schema, so that they are decoded."
        )
    return Answers(tuple(candidates), tuple(listed))


class KnownAnswers:
    """Lists answers as `list_answers` does, from any thread. Names that were legal before are not read again."""

    def __init__(self, text: TextEncoder, grammar: Grammar) -> None:
        self._text = text
        self._grammar = grammar
        self._by_name: dict[str, Candidate] = {}

    def list(self, options: Sequence[ActionOption]) -> Answers:
        """Return the answers that `options` allow. Raises BadActions."""
        candidates = None
        if 0 < len(options) <= MAX_ANSWERS and all(option.schema is None for option in options):
            candidates = self._read(options)
        by_ids = {candidate.ids for candidate in candidates or ()}
        if not candidates or len(by_ids) < len(options) or sum(map(len, by_ids)) > MAX_ANSWER_ROWS:
            return list_answers(options, self._text, self._grammar)  # or it says what is wrong
        return Answers(candidates, tuple([(option.id, option.text) for option in options]))

    def _read(self, options: Sequence[ActionOption]) -> tuple[Candidate, ...] | None:
        """Return the answers of actions without parameters; None if some that are not known are not legal."""
        known = [self._by_name.get(option.id) for option in options]
        unknown = [option for option, candidate in zip(options, known, strict=True) if candidate is None]
        try:
            read = list_answers(unknown, self._text, self._grammar).candidates if unknown else ()
        except BadActions:
            return None
        if len(self._by_name) + len(read) > _MOST_KNOWN:
            self._by_name.clear()
        self._by_name.update({candidate.action.id: candidate for candidate in read})
        of_unknown = iter(read)
        return tuple([candidate or next(of_unknown) for candidate in known])


def _num_rows(answers: Collection[tuple[int, ...]]) -> int:
    """Return how many tokens are left of the answers when equal beginnings count once."""
    in_order = sorted(answers)
    shared = sum(sum(takewhile(bool, map(eq, before, ids))) for before, ids in pairwise(in_order))
    return sum(map(len, in_order)) - shared


def _of_action(
    legal: LegalAction, text: TextEncoder, grammar: Grammar
) -> tuple[list[Candidate], list[tuple[str, str]]]:
    option = legal.option
    if legal.ways is None:
        assert option.schema is not None
        # Built once here, so that a schema which the grammar library rejects is refused before anything is computed.
        opened = tuple(grammar.arguments(option.schema).forced())
        ids = (*text.text_ids(option.id), *text.text_ids(" "), *opened)
        shown = [(f"{option.id} {compact(option.schema)}", option.text)]
        return [Candidate(Action(option.id), ids, option.schema, opened)], shown
    candidates = [Candidate(way, tuple(text.answer_ids(answer_text(way)))) for way in legal.ways]
    if len(legal.ways) > _LISTED_COMBINATIONS:
        return candidates, [(f"{option.id} {compact(option.schema)}", option.text)]
    return candidates, [(answer_text(way), option.text) for way in legal.ways]
