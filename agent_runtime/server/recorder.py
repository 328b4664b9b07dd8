"""What the server tells about its traffic to whoever records it."""

from typing import Literal, Protocol

from agent_runtime.turn import MatchOpened, TurnResult


class Recorder(Protocol):
    """Hears every frame as it is received or handed to the socket. Only `close` may block; no method raises.

    Implemented by `agent_runtime.replay.recording.MatchRecorder` and by `NoRecorder`.
    """

    def frame(self, direction: Literal["c2s", "s2c"], connection: str, kind: str, match: str | None, text: str) -> None:
        """A frame of a connection; `match` is the open match it belongs to, if any. No text holds a token."""

    def match_opened(self, opened: MatchOpened) -> None:
        """The match of the frames since its match.open is there; called before match.opened is sent."""

    def match_refused(self, match: str) -> None:
        """The match was not opened after all."""

    def match_closed(self, match: str) -> None:
        """The match is over; called after match.closed was sent."""

    def turn_finished(self, match: str, result: TurnResult) -> None:
        """The runtime has finished a turn, with its account; also one that had timed out on the wire."""

    def close(self) -> None:
        """The server has stopped; returns when everything is written. May block."""


class NoRecorder:
    """Records nothing."""

    def frame(self, direction: Literal["c2s", "s2c"], connection: str, kind: str, match: str | None, text: str) -> None:
        """Nothing."""

    def match_opened(self, opened: MatchOpened) -> None:
        """Nothing."""

    def match_refused(self, match: str) -> None:
        """Nothing."""

    def match_closed(self, match: str) -> None:
        """Nothing."""

    def turn_finished(self, match: str, result: TurnResult) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""
