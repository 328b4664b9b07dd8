"""A seat's games as a server would have recorded them: `hotseat replay` and `hotseat log` read them like any others."""

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agent_runtime.replay.errors import CannotRecord
from agent_runtime.replay.recording import MatchRecorder
from agent_runtime.server import client_messages as c2s
from agent_runtime.server.answers import answer_message, result_message
from agent_runtime.server.runtime import Answer, Ask, CloseMatch, PutState
from agent_runtime.turn import MatchOpened, MatchSpec, SessionSpec, TurnApplied, TurnRequest, TurnResult

_CONNECTION = "seat"


class Tape:
    """Says to a recorder what a client and a server would have said to each other."""

    def __init__(self, folder: Path, digests: Callable[[str, str], Mapping[str, str]], seed: int) -> None:
        """Begin to record into `folder`. Raises CannotRecord."""
        self._folder = folder
        self._recorder = MatchRecorder(folder, digests=digests, seed=seed)
        self._ids = itertools.count(1)

    def check_new(self, match: str) -> None:
        """Raise CannotRecord if the folder has a recording of a match of this name: two games are not one."""
        if known := next(self._folder.glob(f"match-{match}-*.jsonl"), None):
            raise CannotRecord(self._folder, f"{known.name} is there already. Name another folder, or another seed")

    def note(self, match: str, ask: Ask, answer: Answer) -> None:
        """Note a question about a match, and its answer."""
        message = _message(ask, next(self._ids))
        self._recorder.frame("c2s", _CONNECTION, message.type, match, message.encode())
        if isinstance(answer, MatchOpened):
            self._recorder.match_opened(answer)
        reply = answer_message(ask, answer, message.id)
        if reply is not None:
            self._recorder.frame("s2c", _CONNECTION, reply.type, match, reply.encode())
        if isinstance(ask, CloseMatch):
            self._recorder.match_closed(match)

    def note_turn(self, match: str, request: TurnRequest) -> None:
        """Note a turn as it is asked."""
        message = c2s.Turn(
            id=next(self._ids),
            session=request.session,
            turn_id=request.turn_id,
            frame=request.frame,
            observation=request.observation,
            actions=tuple(c2s.ListedAction(id=option.id, text=option.text) for option in request.actions),
            decide=c2s.HowToDecide(
                how=request.decide.how, temperature=request.decide.temperature, seed=request.decide.seed
            ),
        )
        self._recorder.frame("c2s", _CONNECTION, message.type, match, message.encode())

    def note_result(self, match: str, result: TurnResult) -> None:
        """Note a turn's result."""
        message = result_message(result, None)
        self._recorder.turn_finished(match, result)
        self._recorder.frame("s2c", _CONNECTION, message.type, match, message.encode())

    def close(self) -> None:
        """Write what is left."""
        self._recorder.close()


def _message(ask: Ask, number: int) -> c2s.ClientMessage:
    """What a client would have sent."""
    match ask:
        case MatchSpec():
            mode: Any = str(ask.mode)
            salt = ask.cache_salt or None
            return c2s.MatchOpen(id=number, match=ask.match, game=ask.game, model=ask.model, mode=mode, cache_salt=salt)
        case PutState():
            return c2s.MatchState(id=number, match=ask.match, frame=ask.frame, state=ask.state, patch=ask.patch)
        case SessionSpec():
            return c2s.SessionOpen(
                id=number,
                session=ask.session,
                match=ask.match,
                sight=ask.sight,
                persona=ask.persona,
                history_turns=ask.history_turns,
            )
        case TurnApplied():
            return c2s.TurnApplied(
                id=number,
                session=ask.session,
                turn_id=ask.turn_id,
                ok=ask.ok,
                reward=ask.reward,
                action=None if ask.action is None else c2s.AppliedAction(id=ask.action.id),
            )
        case CloseMatch():
            return c2s.MatchClose(id=number, match=ask.match)
    raise AssertionError(f"a seat asks nothing of the kind {type(ask).__name__}")
