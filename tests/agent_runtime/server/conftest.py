"""Servers in processes of their own."""

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
PATIENCE_S = 20.0


@dataclass
class ServerProcess:
    """A server that runs until the test ends. `lines` are those it printed after its address."""

    process: "subprocess.Popen[str]"
    url: str
    lines: "queue.Queue[str]"

    def wait_for_line(self, words: str) -> str:
        while words not in (line := self.lines.get(timeout=PATIENCE_S)):
            pass
        return line


StartServer = Callable[..., ServerProcess]


@pytest.fixture
def start_server() -> Iterator[StartServer]:
    """start_server(config={...}, results=path, record=path)"""
    with ExitStack() as stack:

        def start(config: dict[str, Any] | None = None, **told: Any) -> ServerProcess:
            argument = json.dumps({"config": {"port": 0, **(config or {})}, **told}, default=str)
            process = subprocess.Popen(
                [sys.executable, "-W", "error", "-m", "tests.agent_runtime.server.serve_fake", argument],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            lines: queue.Queue[str] = queue.Queue()
            assert process.stdout is not None
            reader = threading.Thread(target=_read, args=(process.stdout, lines), daemon=True)
            reader.start()

            def end() -> None:
                process.kill()
                process.wait(PATIENCE_S)
                reader.join(PATIENCE_S)
                assert process.stdout is not None
                process.stdout.close()

            stack.callback(end)
            server = ServerProcess(process, "", lines)
            server.url = server.wait_for_line("Hotseat listens on").removeprefix("Hotseat listens on ").strip()
            return server

        yield start


def _read(output: Any, lines: "queue.Queue[str]") -> None:
    for line in output:
        lines.put(line)
