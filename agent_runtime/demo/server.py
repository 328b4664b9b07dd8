"""`hotseat serve` as a child process: started, asked for its address, killed without warning, or stopped."""

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from agent_runtime.demo.errors import ServerEnded, ServerSilent

_ADDRESS = "Hotseat listens on "
_STOP_S = 15.0
_LAST_LINES = 15


class ServerProcess:
    """One server process after another with the same arguments. Leaving the `with` ends the one that runs.

    What the servers write to their standard error goes to `log`.
    """

    def __init__(self, arguments: Sequence[str], log: Path, *, start_s: float) -> None:
        self._command = [sys.executable, "-m", "agent_runtime.cli", "serve", *arguments]
        self._log = log
        self._start_s = start_s
        self._process: subprocess.Popen[str] | None = None
        self.url: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def process_id(self) -> int:
        """The number of the process that runs."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> str:
        """Start a server and return its address. Raises ServerEnded or ServerSilent."""
        assert self._process is None
        # Of its own group on Windows, so that stopping it can be asked for by CTRL_BREAK and reaches nobody else.
        flags = 0
        if sys.platform == "win32":
            flags = subprocess.CREATE_NEW_PROCESS_GROUP
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                encoding="utf-8",
                env={**os.environ, "PYTHONUTF8": "1"},
                creationflags=flags,
            )
        assert self._process.stdout is not None
        lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=_read, args=(self._process.stdout, lines), daemon=True).start()
        end = time.monotonic() + self._start_s
        while True:
            try:
                line = lines.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                self.kill()
                raise ServerSilent(self._start_s, self._last_words()) from None
            if line is None:
                raise self.ended(self._process.wait(_STOP_S))
            if line.startswith(_ADDRESS):
                self.url = line.removeprefix(_ADDRESS).strip()
                return self.url

    def ended(self, exit_code: int) -> ServerEnded:
        """Return the error that says how the server ended."""
        self._process = None
        return ServerEnded(exit_code, self._last_words())

    def died(self) -> ServerEnded | None:
        """Return how the server ended if it did so by itself, None if it still runs or was ended here."""
        if self._process is None:
            return None
        try:
            # A connection breaks a moment before its process is gone.
            return self.ended(self._process.wait(1.0))
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """End the process without warning (SIGKILL; TerminateProcess on Windows): it writes nothing any more."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """Ask the process to drain and end, and kill it if it does not."""
        if self._process is None:
            return
        if sys.platform == "win32":
            self._process.send_signal(signal.CTRL_BREAK_EVENT)
        else:
            self._process.terminate()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self.kill()

    def _last_words(self) -> str:
        try:
            return "\n".join(self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST_LINES:])
        except OSError:
            return ""


def _read(output: IO[str], lines: "queue.SimpleQueue[str | None]") -> None:
    """Read until the process ends, so that its output never fills up."""
    with output:
        for line in output:
            lines.put(line)
    lines.put(None)
