"""The server as a child process: it is reached, or its end is told with its own words; it is never left behind."""

import subprocess
import sys
from pathlib import Path

import pytest

from agent_runtime.demo.errors import ServerEnded, ServerSilent
from agent_runtime.demo.server import ServerProcess

# Instead of `hotseat serve`: what it prints, without loading anything.
LISTENS = "print('warming up'); print('Hotseat listens on ws://127.0.0.1:1', flush=True); input()"


def server(folder: Path, code: str, start_s: float = 30.0) -> ServerProcess:
    made = ServerProcess([], folder / "server.log", start_s=start_s)
    made._command = [sys.executable, "-c", code]
    return made


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list["subprocess.Popen[str]"]:
    """Every process that was started, alive or not; their standard input stays open."""
    processes: list[subprocess.Popen[str]] = []
    popen = subprocess.Popen

    def remember(*arguments: object, **options: object) -> "subprocess.Popen[str]":
        process = popen(*arguments, **{**options, "stdin": subprocess.PIPE})  # type: ignore[call-overload]
        processes.append(process)
        return process  # type: ignore[no-any-return]

    monkeypatch.setattr(subprocess, "Popen", remember)
    return processes


def close_inputs(processes: list["subprocess.Popen[str]"]) -> None:
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()


def test_the_address_is_what_the_server_says(tmp_path: Path, started: list["subprocess.Popen[str]"]) -> None:
    with server(tmp_path, LISTENS) as child:
        assert child.start() == child.url == "ws://127.0.0.1:1"
        assert child.process_id == started[0].pid
        assert child.died() is None
    assert started[0].poll() is not None, "leaving ends it"
    close_inputs(started)


def test_an_error_or_an_interrupt_ends_the_child_too(tmp_path: Path, started: list["subprocess.Popen[str]"]) -> None:
    with pytest.raises(KeyboardInterrupt), server(tmp_path, LISTENS) as child:
        child.start()
        raise KeyboardInterrupt
    assert started[0].poll() is not None
    close_inputs(started)


def test_a_killed_server_is_started_again(tmp_path: Path, started: list["subprocess.Popen[str]"]) -> None:
    with server(tmp_path, LISTENS) as child:
        child.start()
        child.kill()
        assert started[0].poll() not in (None, 0)
        child.start()
    assert len(started) == 2
    assert started[1].poll() is not None
    close_inputs(started)


def test_a_server_that_ends_at_once_is_told_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(ServerEnded, match="exit code 3") as caught, server(tmp_path, "print('x')") as child:
        child._command[-1] = "import sys; print('no model here', file=sys.stderr); sys.exit(3)"
        child.start()
    assert "no model here" in str(caught.value)


def test_a_server_that_dies_later_is_told_with_its_last_words(
    tmp_path: Path, started: list["subprocess.Popen[str]"]
) -> None:
    with server(tmp_path, LISTENS) as child:
        child.start()
        close_inputs(started)  # input() then raises EOFError
        died = child.died()
    assert died is not None
    assert "EOFError" in str(died)


def test_a_server_that_says_nothing_is_stopped(tmp_path: Path, started: list["subprocess.Popen[str]"]) -> None:
    with pytest.raises(ServerSilent, match=r"0\.2 s"), server(tmp_path, "input()", start_s=0.2) as child:
        child.start()
    assert started[0].poll() is not None
    close_inputs(started)


def test_the_real_command_is_refused_with_its_own_sentence(tmp_path: Path) -> None:
    with (
        pytest.raises(ServerEnded, match="exit code 2") as caught,
        ServerProcess(["--port", "99999"], tmp_path / "server.log", start_s=60.0) as child,
    ):
        child.start()
    assert "--port" in str(caught.value)
