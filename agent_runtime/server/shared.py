"""What all connections of a server share."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from agent_runtime.server.config import ServerConfig
from agent_runtime.server.recorder import Recorder
from agent_runtime.server.running_turns import RunningTurns
from agent_runtime.server.runtime import Runtime
from agent_runtime.server.workers import Workers


@dataclass(frozen=True, slots=True)
class Shared:
    """What all connections of a server share."""

    config: ServerConfig
    runtime: Runtime
    recorder: Recorder
    workers: Workers
    turns: RunningTurns
    loop: asyncio.AbstractEventLoop

    def post(self, call: Callable[[], None]) -> None:
        """Run on the loop's thread, soon. From any thread; once the loop has ended there is nobody left to tell."""
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(call)
