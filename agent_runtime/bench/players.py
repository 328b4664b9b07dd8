"""Who plays a bench's match: this process, message by message, or a game in another process over a loopback socket."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from agent_runtime.bench import host_path
from agent_runtime.bench.land import GAME, Moment
from agent_runtime.bench.socket_game import PATIENCE_S
from agent_runtime.errors import HotseatError
from agent_runtime.runtime import AgentRuntime
from agent_runtime.server import PROTOCOL, ServerConfig, serve_in_background
from agent_runtime.server import server_messages as s2c
from agent_runtime.server.messages import server_message
from agent_runtime.turn import Account, Action, MatchSpec, Mode, Outcome, Score, SessionSpec

MATCH = "bench"
_SESSION = "agent"
_END_S = 15.0


@dataclass(eq=False)
class TurnFailed(HotseatError):
    """A turn of a bench that brought no action, or a game's process that ended."""

    why: str
    code: ClassVar[str] = "turn_failed"

    def __str__(self) -> str:
        return f"Nothing was measured, for a turn failed: {self.why}"


@dataclass(frozen=True, slots=True)
class Played:
    """A turn as its game sees it: what came out, what it cost, and how long it took from the frame on."""

    action: Action
    scores: tuple[Score, ...]
    account: Account
    total_ms: float
    stages_ms: dict[str, float]

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
    """A game in a process of its own.

    Its stages are `outside` (the frame, messages, the socket, two processes woken), and those of the turn's account:
    `host` and the engine's.
    """

    def __init__(self, game: "subprocess.Popen[str]") -> None:
        self._game = game

    def open(self, moment: Moment) -> None:
        """Open the match with its first frame, and the session; return when all its blocks are there."""
        hello = {"type": "hello", "protocol": PROTOCOL, "client": "bench"}
        match = {"type": "match.open", "match": MATCH, "game": GAME, "mode": str(Mode.STAR)}
        self._ask([json.dumps(hello)], "welcome")
        self._ask([json.dumps(match)], "match.opened")
        self._ask([moment.frame_text(MATCH, whole=True)], "match.applied")
        session = {"type": "session.open", "session": _SESSION, "match": MATCH}
        self._ask([json.dumps(session)], "session.ready")

    def play(self, moment: Moment, *, whole: bool, writes: bool = False) -> Played:
        """Send a frame, whole or as a patch, and a question about it, as `Moment` has them. Raises TurnFailed."""
        texts = [moment.frame_text(MATCH, whole=whole), moment.turn_text(_SESSION, writes=writes)]
        total_ms, result = self._ask(texts, "turn.result")
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
        return Played(result.action, result.scores, account, total_ms, stages)

    def _ask(self, texts: Sequence[str], until: str) -> tuple[float, s2c.ServerMessage]:
        assert self._game.stdin is not None and self._game.stdout is not None
        try:
            self._game.stdin.write(json.dumps({"send": list(texts), "until": until}) + "\n")
            self._game.stdin.flush()
            line = self._game.stdout.readline()
        except OSError as error:
            raise TurnFailed(f"the game's process ended ({error}).") from error
        if not line:
            raise TurnFailed(f"the game's process ended with exit code {self._game.wait(_END_S)}.")
        heard: dict[str, Any] = json.loads(line)
        message = server_message(json.dumps(heard["message"]))
        if isinstance(message, s2c.Error):
            raise TurnFailed(message.message)
        assert message is not None
        return heard["ms"], message


@contextmanager
def over_socket(runtime: AgentRuntime) -> Iterator[OverSocket]:
    """Serve a runtime on a free port of this machine, and start a game there. Leaving ends both, and the runtime."""
    with serve_in_background(runtime, ServerConfig(port=0)) as url:
        command = [sys.executable, "-X", "utf8", "-m", "agent_runtime.bench.socket_game", url]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8") as game:
            try:
                yield OverSocket(game)
            finally:
                assert game.stdin is not None
                with suppress(OSError):  # it ended by itself, and did not read the last line
                    game.stdin.close()
                try:
                    game.wait(_END_S)
                except subprocess.TimeoutExpired:
                    game.kill()


@contextmanager
def in_process(runtime: AgentRuntime) -> Iterator[InProcess]:
    """Play in this process. Leaving closes the runtime."""
    try:
        yield InProcess(runtime)
    finally:
        runtime.close()
