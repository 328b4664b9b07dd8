"""What of a state a session may see: ordered patterns, the last match wins, `!` excludes.

A pattern speaks for the member it matches and for everything beneath. An empty list shows everything; a list that
begins with an exclusion starts from everything, any other from nothing. What is hidden is taken out before anything
else reads the state, so it cannot reach a block, its name, its order or the live part. A hidden member of an array
leaves no gap: positions count what is seen. An index in a pattern is the place in the whole array; give hidden things
to objects, not arrays, where members move.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from prompts.errors import StateError
from prompts.json_text import Json
from prompts.pattern import PatternSet, State, parse_pattern


class Hidden(Enum):
    """What is seen of a member of which nothing may be seen."""

    HIDDEN = "hidden"


HIDDEN: Final = Hidden.HIDDEN


@dataclass(frozen=True, slots=True)
class _Look:
    """One container as it was looked at: kept so that an unchanged one yields the very same object again."""

    value: Json
    state: State
    winner: int
    seen: Json
    inner: "dict[object, _Look]"


class Sight:
    """The patterns of one sight, and the last state seen through them. Raises PatternError."""

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        starts_open = not patterns or patterns[0].startswith("!")
        self._shows = (starts_open, *(not text.startswith("!") for text in patterns))
        self._patterns = PatternSet([(), *(parse_pattern(text.removeprefix("!")) for text in patterns)])
        self._last: _Look | None = None

    def see(self, state: Json, same_objects: bool) -> Json | Hidden:
        """What may be seen of the state. Raises StateError.

        `same_objects`: an object that was in the last state has not been changed since, and comes out as the same one.
        """
        last = self._last if same_objects else None
        inner: dict[object, _Look] = {}
        try:
            seen = self._seen(state, self._patterns.start, 0, last, inner, None)
        except RecursionError:
            raise StateError("", "it is nested too deep. Send it flatter.") from None
        self._last = inner.get(None)
        return seen

    def _seen(
        self,
        value: Json,
        state: State,
        winner: int,
        last: "_Look | None",
        looks: "dict[object, _Look]",
        known_as: object,
    ) -> Json | Hidden:
        """What is seen of a value under the pattern that won above it; a look into it is kept in `looks`."""
        if state.matches and state.matches[-1] > winner:
            winner = state.matches[-1]
        if last is None or last.value is not value or last.state is not state or last.winner != winner:
            if not (state.below and isinstance(value, (dict, list)) and self._is_mixed(state, winner)):
                return value if self._shows[winner] else HIDDEN
            last = self._look(value, state, winner, last.inner if last is not None else {})
        looks[known_as] = last
        return last.seen

    def _is_mixed(self, state: State, winner: int) -> bool:
        """Whether something beneath may fare otherwise than the container itself."""
        return any(index > winner and self._shows[index] != self._shows[winner] for index in state.below)

    def _look(self, value: Json, state: State, winner: int, known: "dict[object, _Look]") -> "_Look":
        inner: dict[object, _Look] = {}
        seen: Json
        if isinstance(value, dict):
            parts = {k: self._seen(v, state.step(k), winner, known.get(k), inner, k) for k, v in value.items()}
            seen = {key: part for key, part in parts.items() if part is not HIDDEN}
        else:
            same_state = state.same_for_all
            seen = []
            for index, member in enumerate(value):
                # Known by object, not by place: an insertion must not make all later members look new. The id cannot
                # have passed to another object meanwhile, because the look that is found under it holds its own.
                known_as = id(member)
                member_state = same_state or state.step(str(index))
                part = self._seen(member, member_state, winner, known.get(known_as), inner, known_as)
                if part is not HIDDEN:
                    seen.append(part)
        return _Look(value, state, winner, seen if seen or self._shows[winner] else HIDDEN, inner)
