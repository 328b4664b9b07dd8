"""A game's process (`socket_game.py`), and what is asked of it: messages to send, and one to wait for."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, ClassVar

from agent_runtime.errors import HotseatError
from agent_runtime.server import server_messages as s2c
from agent_runtime.server.messages import server_message

_END_S = 15.0


@dataclass(eq=False)
class TurnFailed(HotseatError):
    """A turn of a bench that brought no action, or a game's process that ended."""

    why: str
    code: ClassVar[str] = "turn_failed"

    def __str__(self) -> str:
        return f"Nothing was measured, for a turn failed: {self.why}"


class GameProcess:
    """A game in a process of its own, connected to a server."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def ask(self, texts: Sequence[str], until: str) -> tuple[float, s2c.ServerMessage]:
        """Have messages sent, and return the milliseconds until one of the type `until` was read, and that message.

        Raises TurnFailed for a refusal, and when the process has ended.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"send": list(texts), "until": until}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except OSError as error:
            raise TurnFailed(f"the game's process ended ({error}).") from error
        if not line:
            raise TurnFailed(f"the game's process ended with exit code {self._process.wait(_END_S)}.")
        heard: dict[str, Any] = json.loads(line)
        message = server_message(json.dumps(heard["message"]))
        if isinstance(message, s2c.Error):
            raise TurnFailed(message.message)
        assert message is not None
        return heard["ms"], message


@contextmanager
def game_process(url: str) -> Iterator[GameProcess]:
    """Start a game that connects to a server. Leaving ends it."""
    command = [sys.executable, "-X", "utf8", "-m", "agent_runtime.bench.socket_game", url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8") as process:
        try:
            yield GameProcess(process)
        finally:
            assert process.stdin is not None
            with suppress(OSError):  # it ended by itself, and did not read the last line
                process.stdin.close()
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()
