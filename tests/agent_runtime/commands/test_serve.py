"""The command line: what is refused is refused before anything is loaded."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from agent_runtime import composition
from agent_runtime.adapter_choice import AdapterChoice
from agent_runtime.cli import app, main
from agent_runtime.config import RuntimeSettings
from agent_runtime.server.errors import PortInUse
from tests.readme import ROOT


def test_a_taken_port_is_noticed_before_the_model_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(settings: RuntimeSettings) -> None:
        raise AssertionError("the model was loaded for a port that is taken")

    monkeypatch.setattr(composition, "open_runtime", load)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse, match=f"127.0.0.1:{port}"):
            app(["serve", "--port", str(port)], standalone_mode=False)


def test_while_the_model_loads_the_port_is_held_and_clients_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    class Loaded(Exception):
        pass

    def load(settings: RuntimeSettings) -> None:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)
        with pytest.raises(PortInUse):
            app(["serve", "--port", str(port)], standalone_mode=False)
        raise Loaded

    monkeypatch.setattr(composition, "open_runtime", load)
    with pytest.raises(Loaded):
        app(["serve", "--port", str(port)], standalone_mode=False)


def test_a_refusal_is_one_sentence_and_loads_no_torch(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise SystemExit('torch was imported')", encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [sys.executable, "-m", "agent_runtime.cli", "serve", "--port", str(taken.getsockname()[1])]
        paths = os.pathsep.join(map(str, (tmp_path, ROOT)))
        ran = subprocess.run(
            command, capture_output=True, encoding="utf-8", timeout=60, env={**os.environ, "PYTHONPATH": paths}
        )
    assert ran.returncode == 2 and ran.stdout == ""
    assert ran.stderr.startswith("hotseat: Another server already has 127.0.0.1:") and ran.stderr.count("\n") == 1


def test_a_typed_error_of_any_room_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["hotseat", "store", "ls", str(tmp_path / "missing")])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.startswith("hotseat: There is no store at") and said.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ([], Path("tuned")),
        (["--adapter", "none"], AdapterChoice.NONE),
        (["--adapter", "packaged"], AdapterChoice.PACKAGED),
        (["--adapter", "./none"], Path("none")),
    ],
)
def test_an_adapter_is_named_by_word_or_folder_and_wins_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], meant: Path | AdapterChoice
) -> None:
    opened: list[RuntimeSettings] = []

    class Opened(Exception):
        pass

    def load(settings: RuntimeSettings) -> None:
        opened.append(settings)
        raise Opened

    monkeypatch.setattr(composition, "open_runtime", load)
    (tmp_path / "hotseat.toml").write_text('[models.default]\nadapter = "tuned"\n')
    with pytest.raises(Opened):
        app(["serve", "--port", "0", "--config", str(tmp_path / "hotseat.toml"), *words], standalone_mode=False)
    assert opened[0].models["default"].adapter == meant
