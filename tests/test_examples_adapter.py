"""How the package's adapter was made: the commands are ours, and every file that one part names another one makes."""

import os
import subprocess
from pathlib import Path

import pytest
import typer

from agent_runtime.cli import app
from agent_runtime.tuning.config import read_config
from tests.readme import ROOT

FOLDER = ROOT / "examples" / "shipped_adapter"
# Writes its words down, a command a line, and makes the file that they ask for.
HOTSEAT = """#!/bin/sh
printf '%s\\t' "$@" >> "$SAID"
printf '\\n' >> "$SAID"
while [ $# -gt 0 ]; do
    [ "$1" != --out ] || touch "$2"
    shift
done
"""


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a `hotseat` that only listens; the current folder is the one that it is in."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "hotseat").write_text(HOTSEAT, "utf-8")
    (tmp_path / "bin" / "hotseat").chmod(0o755)
    return tmp_path / "bin"


def said(bin_folder: Path, script: str, *words: str | Path) -> list[list[str]]:
    """What a script has `hotseat` do, in a folder in which nothing was said yet."""
    heard = bin_folder.parent / "said"
    heard.write_text("", "utf-8")
    environment = os.environ | {"PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}", "SAID": str(heard)}
    subprocess.run(["sh", FOLDER / script, *words], env=environment, check=True)
    return [line.rstrip("\t").split("\t") for line in heard.read_text("utf-8").splitlines()]


def is_understood(words: list[str]) -> None:
    """Raise click's error for a command or an option that there is not."""
    command, name = typer.main.get_command(app), "hotseat"
    while hasattr(command, "commands"):
        name, words = words[0], words[1:]
        command = command.commands[name]
    command.make_context(name, words)


@pytest.mark.parametrize(("what", "run"), [("train", "tune.toml"), ("again", "again.toml")])
def test_what_is_learned_from_is_what_the_run_names(bin_folder: Path, what: str, run: str) -> None:
    commands = said(bin_folder, "data.sh", what, "data")
    for words in commands:
        is_understood(words)
    config = read_config(FOLDER / run)
    made = {words[words.index("--out") + 1] for words in commands}
    kept = {"data/chat.jsonl.gz"} if what == "again" else set()  # those of the first run
    assert made | kept == {*config.data.train, *config.data.remember}
    assert not said(bin_folder, "data.sh", what, "data"), "what is there is not made again"


def test_what_is_measured_is_every_file_that_was_made_for_it_and_every_match(bin_folder: Path) -> None:
    made = said(bin_folder, "data.sh", "test", "data")
    (bin_folder.parent / "adapter").mkdir()
    commands = said(bin_folder, "evaluate.sh", "data", "reports", "adapter")
    for words in [*made, *commands]:
        is_understood(words)
    asked = [words[1] for words in commands if words[1].startswith("data/")]
    assert sorted(asked) == sorted(words[words.index("--out") + 1] for words in made)
    played = {(words[words.index("--game") + 1], words[words.index("--opponent") + 1]) for words in commands[-8:]}
    assert len(played) == 8 and len(commands) == len(made) + 1 + 8
    reports = sorted(path.name for path in (bin_folder.parent / "reports").iterdir())
    assert len(reports) == len(commands) and all(name.endswith(".json") for name in reports)
