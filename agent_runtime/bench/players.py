"""Who plays a bench's match: this process, message by message, or a game in another process over a loopback socket."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from agent_runtime.bench import host_path
from agent_runtime.bench.bare_socket import BareSocket, bare_socket
from agent_runtime.bench.game_process import GameProcess, TurnFailed, game_process
from agent_runtime.bench.land import GAME, Moment
from agent_runtime.bench.socket_game import PATIENCE_S
from agent_runtime.runtime import AgentRuntime
from agent_runtime.server import PROTOCOL, ServerConfig, serve_in_background
from agent_runtime.server import server_messages as s2c
from agent_runtime.turn import Account, Action, MatchSpec, Mode, Outcome, Score, SessionSpec

MATCH = "bench"
_SESSION = "agent"


@dataclass(frozen=True, slots=True)
class Played:
    """A turn as its game sees it: what came out, what it cost, and how long it took from the frame on.

    `bare_socket_ms`: what a bare WebSocket took with the same texts right behind it; None where no socket is passed.
    """

    action: Action
    scores: tuple[Score, ...]
    account: Account
    total_ms: float
    stages_ms: dict[str, float]
    bare_socket_ms: float | None = None

    @property
    def besides_engine_ms(self) -> float:
        """Return what it took besides the engine."""
        return sum(ms for name, ms in self.stages_ms.items() if name not in host_path.ENGINE_STAGES)


class Player(Protocol):
    """Plays one match with one session. Entered once, before the first frame."""

    def open(self, moment: Moment) -> None:
        """Open the match with its first frame, and the session; return when all its blocks are there."""

    def play(self, moment: Moment, *, whole: bool, writes: bool = False) -> Played:
        """Send a frame, whole or as a patch, and a question about it, as `Moment` has them. Raises TurnFailed."""


class InProcess:
    """The path of the server without its sockets."""

    def __init__(self, runtime: AgentRuntime) -> None:
        self._runtime = runtime

    def open(self, moment: Moment) -> None:
        """Open the match with its first frame, and the session; return when all its blocks are there."""
        self._runtime.open_match(MatchSpec(MATCH, GAME, mode=Mode.STAR))
        # A copy: it is read later on, and the game changes its own.
        self._runtime.put_state(MATCH, moment.frame, state=json.loads(json.dumps(moment.state)))
        is_ready = threading.Event()
        self._runtime.open_session(SessionSpec(_SESSION, MATCH), lambda ready: is_ready.set())
        if not is_ready.wait(PATIENCE_S):
            raise TurnFailed("the blocks were not encoded within an hour.")

    def play(self, moment: Moment, *, whole: bool, writes: bool = False) -> Played:
        """Send a frame, whole or as a patch, and a question about it, as `Moment` has them. Raises TurnFailed."""
        turn = host_path.play(
            self._runtime, moment.frame_text(MATCH, whole=whole), moment.turn_text(_SESSION, writes=writes)
        )
        if turn.result.outcome is not Outcome.OK or turn.result.action is None:
            raise TurnFailed(turn.result.message or turn.result.outcome)
        return Played(turn.result.action, turn.result.scores, turn.account, turn.total_ms, turn.stages_ms)


class OverSocket:
    """A game in a process of its own, and a bare WebSocket that takes each turn's texts behind it.

    Its stages are `outside` (the frame, messages, the socket, two processes woken), and those of the turn's account:
    `host` and the engine's.
    """

    def __init__(self, game: GameProcess, bare: BareSocket) -> None:
        self._game = game
        self._bare = bare

    def open(self, moment: Moment) -> None:
        """Open the match with its first frame, and the session; return when all its blocks are there."""
        hello = {"type": "hello", "protocol": PROTOCOL, "client": "bench"}
        match = {"type": "match.open", "match": MATCH, "game": GAME, "mode": str(Mode.STAR)}
        self._game.ask([json.dumps(hello)], "welcome")
        self._game.ask([json.dumps(match)], "match.opened")
        self._game.ask([moment.frame_text(MATCH, whole=True)], "match.applied")
        session = {"type": "session.open", "session": _SESSION, "match": MATCH}
        self._game.ask([json.dumps(session)], "session.ready")

    def play(self, moment: Moment, *, whole: bool, writes: bool = False) -> Played:
        """Send a frame, whole or as a patch, and a question about it, as `Moment` has them. Raises TurnFailed."""
        frame, turn = moment.frame_text(MATCH, whole=whole), moment.turn_text(_SESSION, writes=writes)
        total_ms, result = self._game.ask([frame, turn], "turn.result")
        assert isinstance(result, s2c.TurnResult)
        account = result.account
        if result.outcome is not Outcome.OK or result.action is None or account is None:
            raise TurnFailed(result.message or result.outcome)
        engine_ms = account.total_ms - account.overhead_ms
        stages = {
            "outside": total_ms - account.total_ms,
            "host": account.overhead_ms,
            "queue": account.queue_ms,
            "forward": account.engine_ms,
            "decision": engine_ms - account.queue_ms - account.engine_ms,
        }
        bare_socket_ms = self._bare.exchange(frame, turn, result)
        return Played(result.action, result.scores, account, total_ms, stages, bare_socket_ms)


@contextmanager
def over_socket(runtime: AgentRuntime) -> Iterator[OverSocket]:
    """Serve a runtime on a free port of this machine, start a game there, and a bare socket beside it.

    Leaving ends all, and the runtime. Raises StartError.
    """
    with (
        serve_in_background(runtime, ServerConfig(port=0)) as url,
        game_process(url) as game,
        bare_socket() as bare,
    ):
        yield OverSocket(game, bare)


@contextmanager
def in_process(runtime: AgentRuntime) -> Iterator[InProcess]:
    """Play in this process. Leaving closes the runtime."""
    try:
        yield InProcess(runtime)
    finally:
        runtime.close()
