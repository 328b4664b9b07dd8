"""Servers in processes of their own: one for all tests that need nothing special, and as many as a test starts."""

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent_runtime.server import Client

ROOT = Path(__file__).parents[3]
PATIENCE_S = 20.0


@dataclass(frozen=True)
class ServerProcess:
    """A server that was started. `lines` are those it printed after its address."""

    process: "subprocess.Popen[str]"
    url: str
    lines: "queue.Queue[str]"

    def wait_for_line(self, words: str) -> str:
        """The next line with these words."""
        return wait_for_line(self.lines, words)


StartServer = Callable[..., ServerProcess]


@contextmanager
def running_server(config: dict[str, Any] | None = None, **told: Any) -> Iterator[ServerProcess]:
    argument = json.dumps({"config": {"port": 0, **(config or {})}, **told}, default=str)
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "tests.agent_runtime.server.serve_fake", argument],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    lines: queue.Queue[str] = queue.Queue()
    reader = threading.Thread(target=read, args=(process.stdout, lines), daemon=True)
    reader.start()
    try:
        url = wait_for_line(lines, "Hotseat listens on").split()[-1]
        yield ServerProcess(process, url, lines)
    finally:
        process.kill()
        process.wait(PATIENCE_S)
        reader.join(PATIENCE_S)
        process.stdout.close()


def read(output: Any, lines: "queue.Queue[str]") -> None:
    for line in output:
        lines.put(line)


def wait_for_line(lines: "queue.Queue[str]", words: str) -> str:
    while words not in (line := lines.get(timeout=PATIENCE_S)):
        pass
    return line


@pytest.fixture
def start_server() -> Iterator[StartServer]:
    """start_server({...}, results=path, record=path): a server of the test's own, with this ServerConfig."""
    with ExitStack() as stack:
        yield lambda config=None, **told: stack.enter_context(running_server(config, **told))


@pytest.fixture(scope="session")
def shared_server() -> Iterator[ServerProcess]:
    with running_server() as server:
        yield server


@pytest.fixture
def url(shared_server: ServerProcess) -> Iterator[str]:
    """A server with nothing in it but what the test opens: the matches m1 and m2 are closed behind it."""
    yield shared_server.url
    with Client(shared_server.url, timeout_s=PATIENCE_S) as client:
        for match in ("m1", "m2"):
            client.open_match(match, "camp")
            client.close_match(match)
