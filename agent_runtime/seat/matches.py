"""A seat's matches and sessions in its runtime; all that is asked there is noted, if somebody wants a recording."""

import hashlib
import re
from typing import Literal

from agent_runtime.agent import PendingTurn
from agent_runtime.runtime import AgentRuntime
from agent_runtime.seat.differences import patch_between
from agent_runtime.seat.tables import Place, SeatTurn, Table
from agent_runtime.seat.tape import Tape
from agent_runtime.server.runtime import Answer, Ask, CloseMatch, PutState
from agent_runtime.turn import (
    ActionOption,
    Decide,
    Json,
    MatchSpec,
    Mode,
    SessionSpec,
    TurnApplied,
    TurnRequest,
)
from game_adapters import SharedState, TurnView
from game_adapters.adapter import sight_of

_UNSAFE_IN_NAME = re.compile(r"[^\w.@+-]")
_LONGEST = 50


class Matches:
    """What a seat has opened in a runtime. A table is one match if its agents can share a state, else one for each."""

    def __init__(
        self,
        runtime: AgentRuntime,
        game: str,
        *,
        model: str | None,
        mode: Mode | Literal["auto"],
        shared: SharedState | None,
        name: str,
        tape: Tape | None,
    ) -> None:
        self._runtime = runtime
        self._game = game
        self._model = model
        self._mode: Mode | Literal["auto"] = mode
        self._shared = shared
        self._name = name
        self._tape = tape

    def put_state(self, table: Table, match: str, state: Json) -> int:
        """Bring a match to a state, opening it if need be; return its frame."""
        if match not in table.frames:
            if self._tape is not None:
                self._tape.check_new(match)
            spec = MatchSpec(match, self._game, self._model, self._mode)
            self._note(match, spec, self._runtime.open_match(spec))
        frame, known = table.frames.get(match, (0, None))
        patch = None if known is None else patch_between(known, state)
        if patch != []:
            frame += 1
            asked = PutState(match, frame, state if patch is None else None, patch)
            change = self._runtime.put_state(match, frame, state=asked.state, patch=patch)
            self._note(match, asked, change)
            table.frames[match] = (frame, state)
        return frame

    def match_of(self, table: Table, agent: str) -> str:
        """Return the name of an agent's match."""
        name = f"{self._name}.{table.number}.{table.episode}"
        return _safe(name if self._shared is not None else f"{name}.{agent}")

    def open_session(self, match: str, agent: str, persona: str | None, history_turns: int | None) -> Place:
        """Seat an agent at a match that has a state."""
        sight = sight_of(self._game, self._shared, agent) if self._shared is not None else ()
        spec = SessionSpec(f"{match}:{_safe(agent)}", match, sight, persona, history_turns=history_turns)
        self._note(match, spec, self._runtime.open_session(spec))
        return Place(spec.session, match)

    def remembers(self, place: Place) -> bool:
        """Return whether anybody wants to know what an agent did."""
        return self._tape is not None or self._runtime.session(place.session).history_turns > 0

    def take_up(self, place: Place, reward: float | None) -> None:
        """Take what an agent did about its last turn for done."""
        applied = TurnApplied(place.session, place.turn_id, True, None, reward, place.done)
        self._runtime.apply_turn(applied)
        self._note(place.match, applied, None)

    def ask(self, place: Place, view: TurnView, frame: int, decide: Decide) -> PendingTurn:
        """Begin a turn about a frame."""
        options = tuple(ActionOption(offer.id, offer.text) for offer in view.actions)
        request = TurnRequest(place.session, place.turn_id, frame, view.observation_text, options, decide)
        pending = self._runtime.begin_turn(request)
        if self._tape is not None:
            self._tape.note_turn(place.match, request)
        return pending

    def note_result(self, turn: SeatTurn) -> None:
        """Say how a turn ended."""
        if self._tape is not None and turn.result is not None:
            self._tape.note_result(turn.place.match, turn.result)

    def warnings(self, place: Place) -> tuple[str, ...]:
        """Return what the game's author should know of the states that an agent saw."""
        session = self._runtime.session(place.session)
        return session.match.seen_by(session.sight).warnings

    def close(self, table: Table) -> None:
        """End the matches of a table."""
        for match in table.frames:
            self._runtime.close_match(match)
            self._note(match, CloseMatch(match), None)

    def end(self) -> None:
        """Write what is left of a recording."""
        if self._tape is not None:
            self._tape.close()

    def _note(self, match: str, ask: Ask, answer: Answer) -> None:
        if self._tape is not None:
            self._tape.note(match, ask, answer)


def _safe(name: str) -> str:
    """A name that may go over the wire, whatever an environment calls its agents."""
    text = _UNSAFE_IN_NAME.sub("_", str(name))
    if text == str(name) and len(text) <= _LONGEST:
        return text
    return f"{text[:_LONGEST]}-{hashlib.blake2b(str(name).encode(), digest_size=4).hexdigest()}"
