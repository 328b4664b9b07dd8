"""agent_runtime.cli: what `hotseat` itself answers, before any of its commands."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent_runtime.cli import app
from tests.readme import ROOT


def test_the_version_is_that_of_what_is_installed() -> None:
    ran = CliRunner().invoke(app, ["--version"])
    assert (ran.exit_code, ran.stdout) == (0, f"hotseat {version('hotseat')}\n")


def test_nothing_asked_shows_the_commands() -> None:
    for words in ([], ["--help"]):
        said = CliRunner().invoke(app, words).output
        assert "LLM agents for games." in said and "--version" in said
        assert all(command in said for command in ("serve", "demo", "replay", "doctor"))


def test_neither_loads_torch(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise SystemExit('torch was imported')", encoding="utf-8")
    for word in ("--version", "--help"):
        ran = subprocess.run(
            [sys.executable, "-m", "agent_runtime.cli", word],
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (tmp_path, ROOT)))},
        )
        assert (ran.returncode, ran.stderr) == (0, "") and "hotseat" in ran.stdout


@pytest.mark.parametrize("loads, is_frozen", [("json", True), ("triton", False)])
def test_a_command_looks_for_garbage_seldom_and_at_its_end_if_somebody_calls_it_a_leak(
    tmp_path: Path, loads: str, is_frozen: bool
) -> None:
    (tmp_path / "triton.py").touch()
    script = f"""
import atexit, gc, {loads}
from agent_runtime import cli
from agent_runtime.engine.garbage import leave_out_what_is_there
atexit.register(lambda: print(gc.get_freeze_count() > 10_000))  # runs behind what the command line registers

def app():
    print(gc.isenabled(), gc.get_threshold()[0], gc.get_freeze_count())
    leave_out_what_is_there()  # as a server does
    print(gc.get_freeze_count() > 10_000)

cli.app = app
cli.main()
"""
    ran = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (tmp_path, ROOT)))},
    )
    assert (ran.stdout, ran.stderr) == (f"True 10000 0\nTrue\n{is_frozen}\n", "")
