"""Runs a protocol machine by hand: the fake runtime answers its calls at once, turns are decided when a test says."""

import json
from typing import Any

from agent_runtime.errors import HotseatError
from agent_runtime.server.config import Limits
from agent_runtime.server.events import BeginTurn, Call, CancelTurn, Close, Event, Heard, Send
from agent_runtime.server.protocol import Machine
from agent_runtime.server.runtime import perform
from agent_runtime.server.server_messages import GameInfo, ModelInfo, Welcome
from agent_runtime.turn import Partial, SessionReady, TurnResult
from tests.agent_runtime.server.fake_runtime import FakeRuntime, decided

HELLO = '{"type":"hello","protocol":"hotseat.v1"}'


def welcome(limits: Limits | None = None) -> Welcome:
    known = FakeRuntime().describe()
    return Welcome(
        protocol="hotseat.v1",
        server="hotseat test",
        limits=limits or Limits(),
        models=tuple(ModelInfo.model_validate(each) for each in known["models"]),
        games=tuple(GameInfo.model_validate(each) for each in known["games"]),
    )


class Desk:
    """`sent` are the texts that went out and were not taken yet, `cancelled` what the shell was told to cancel."""

    def __init__(self, *, limits: Limits | None = None, token: str | None = None, greeted: bool = True) -> None:
        self.runtime = FakeRuntime()
        self.machine = Machine(welcome(limits), token=token, hello_by=10.0)
        self.sent: list[str] = []
        self.heard: list[Heard] = []
        self.cancelled: list[CancelTurn] = []
        self.closed: Close | None = None
        self.begun: dict[tuple[str, int], BeginTurn] = {}
        self.is_answering = True
        self.waiting: list[Call] = []
        if greeted:
            self.say(HELLO)
            self.sent.clear()

    def say(self, message: str | dict[str, Any], now: float = 0.0) -> list[dict[str, Any]]:
        """A frame comes; what goes out."""
        text = message if isinstance(message, str) else json.dumps(message)
        return self.take(self.machine.receive(text, now), now)

    def open(self, session: str = "guard-7", match: str = "m1", **settings: Any) -> None:
        """A match at frame 1 with a session."""
        self.say({"type": "match.open", "match": match, "game": "camp"})
        self.say({"type": "match.state", "match": match, "frame": 1, "state": {"clock": 1}})
        answers = self.say({"type": "session.open", "session": session, "match": match, **settings})
        assert [each["type"] for each in answers] == ["session.opened", "session.ready"]

    def decide(self, session: str, turn_id: int, now: float, result: TurnResult | None = None) -> list[dict[str, Any]]:
        """The runtime decides a turn; what goes out."""
        begun = self.begun[session, turn_id]
        return self.take(self.machine.result(begun.ticket, result or decided(begun.ask.request), now), now)

    def speak(self, session: str, turn_id: int, text: str, now: float = 0.0) -> list[dict[str, Any]]:
        """The runtime decodes a piece of a turn's text; what goes out."""
        ticket = self.begun[session, turn_id].ticket
        return self.take(self.machine.partial(ticket, Partial("say", text), now), now)

    def refuse(self, session: str, turn_id: int, error: HotseatError) -> list[dict[str, Any]]:
        """The runtime refuses to begin a turn; what goes out."""
        return self.take(self.machine.refuse(self.begun[session, turn_id].ticket, error, 0.0), 0.0)

    def tick(self, now: float) -> list[dict[str, Any]]:
        """Time passes; what goes out."""
        return self.take(self.machine.tick(now), now)

    def answer_waiting(self, now: float = 0.0) -> list[dict[str, Any]]:
        """Answer the calls that were held back; what goes out."""
        self.is_answering = True
        calls, self.waiting = self.waiting, []
        return [message for call in calls for message in self.take([call], now)]

    def take(self, events: list[Event], now: float) -> list[dict[str, Any]]:
        """Carry out events; what went out."""
        before = len(self.sent)
        for event in events:
            match event:
                case Heard():
                    self.heard.append(event)
                case Send():
                    self.sent.append(event.text)
                case Call():
                    self._call(event, now)
                case BeginTurn():
                    self.begun[event.ask.request.session, event.ask.request.turn_id] = event
                case CancelTurn():
                    self.cancelled.append(event)
                case Close():
                    self.closed = event
        return [json.loads(text) for text in self.sent[before:]]

    def _call(self, call: Call, now: float) -> None:
        if not self.is_answering:
            self.waiting.append(call)
            return

        def ready(each: SessionReady) -> None:
            self.take(self.machine.ready(call.ticket, each, now), now)

        try:
            answer = perform(self.runtime, call.ask, ready)
        except HotseatError as error:
            self.take(self.machine.refuse(call.ticket, error, now), now)
        else:
            self.take(self.machine.answer(call.ticket, answer, now), now)


def turn(turn_id: int = 1, session: str = "guard-7", **fields: Any) -> dict[str, Any]:
    """A turn's message."""
    return {
        "type": "turn",
        "session": session,
        "turn_id": turn_id,
        "frame": 1,
        "observation": "A noise in the east.",
        "actions": [{"id": "hold", "text": "stay here"}, {"id": "go", "text": "go to the gate"}],
        **fields,
    }
