"""Commands as processes that need not load torch and transformers first: seconds, and the point of few tests.

One process loads them, and nothing of ours. For every command it forks, and the copy becomes that command: environment,
folder, arguments, path and streams are its own, our packages are imported there, and it ends as any Python ends. Where
there is no fork, every command is a process from nothing.

    python tests/preloaded.py SOCKET    is the process that forks; it ends with the other end of its socket
"""

import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any, Self

# Packages of others alone: what a command imports of ours, and in what order, is part of what is tested.
LOADED = (
    "torch",
    "accelerate",
    "alembic.command",
    "pydantic",
    "sqlalchemy.orm",
    "transformers.modeling_utils",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.llama.modeling_llama",
)
_END_S = 120.0


class Preloaded:
    """Runs commands one after the other, each given as the words behind `python`."""

    def __init__(self) -> None:
        self._forking: subprocess.Popen[bytes] | None = None
        self._asked: socket.socket | None = None

    def __enter__(self) -> Self:
        if hasattr(os, "fork"):
            self._asked, theirs = socket.socketpair()
            with theirs:
                self._forking = subprocess.Popen(
                    [sys.executable, __file__, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    # What is read when these are imported: of their own threads a copy would have none.
                    env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": "", "PYTHONUTF8": "1"},
                )
        return self

    def __exit__(self, *_: object) -> None:
        if self._asked is not None and self._forking is not None:
            self._asked.close()
            try:
                self._forking.wait(_END_S)
            finally:
                self._forking.kill()
                self._forking.wait()

    def run(self, words: Sequence[object], timeout_s: float) -> "subprocess.CompletedProcess[str]":
        """Run a command in this environment and folder, whatever its exit code. Raises subprocess.TimeoutExpired."""
        command = [str(word) for word in words]
        if self._asked is None:
            return subprocess.run([sys.executable, *command], capture_output=True, encoding="utf-8", timeout=timeout_s)
        ours, theirs = socket.socketpair()
        with ours, open(os.devnull, "rb") as silent, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            with theirs:
                streams = [each.fileno() for each in (silent, out, err)]
                socket.send_fds(self._asked, [b"."], [theirs.fileno(), *streams])
            ours.sendall(json.dumps([command, os.getcwd(), dict(os.environ)]).encode() + b"\n")
            with ours.makefile("r", encoding="utf-8") as told:
                ours.settimeout(_END_S)
                pid = int(told.readline())
                ours.settimeout(timeout_s)
                try:
                    code = int(told.readline())
                except TimeoutError:
                    os.kill(pid, signal.SIGKILL)
                    raise subprocess.TimeoutExpired(command, timeout_s) from None
            said = []
            for file in (out, err):
                file.seek(0)
                said.append(file.read().decode())
            return subprocess.CompletedProcess(command, code, *said)


def _become_each(asked: socket.socket) -> None:
    """Fork for every command that is asked for, and report its process id and how it ended; return as one of them."""
    for name in LOADED:
        importlib.import_module(name)
    gc.freeze()  # it stays; a copy that looked through it for garbage would copy its pages
    while True:
        said, files, *_ = socket.recv_fds(asked, 1, 4)
        if not said:
            os._exit(0)  # an orderly end of all that was loaded takes a second
        child = os.fork()
        if not child:
            asked.close()
            _become(*files)
            return
        with socket.socket(fileno=files[0]) as answered:
            for file in files[1:]:
                os.close(file)
            answered.sendall(b"%d\n" % child)
            answered.sendall(b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def _become(answered: int, *streams: int) -> None:
    """Run a command as Python would if it were started with it."""
    with socket.socket(fileno=answered) as told, told.makefile("r", encoding="utf-8") as lines:
        words, folder, environment = json.loads(lines.readline())
    for place, stream in enumerate(streams):
        os.dup2(stream, place)
        os.close(stream)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    is_module = words[0] == "-m"
    name, arguments = (words[1], words[2:]) if is_module else (words[0], words[1:])
    first = folder if is_module else os.path.dirname(os.path.abspath(name))
    # In place of this file's folder: the paths that site and .pth files have added stay behind.
    sys.path[:1] = [first, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    sys.argv = [name, *arguments]
    importlib.invalidate_caches()
    run: Any = runpy.run_module if is_module else runpy.run_path
    run(name, run_name="__main__", **({"alter_sys": True} if is_module else {}))


if __name__ == "__main__":
    _become_each(socket.socket(fileno=int(sys.argv[1])))
