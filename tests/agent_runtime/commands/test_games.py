"""`hotseat games`: what there is, and what is wrong with one."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from agent_runtime.cli import app
from agent_runtime.engine.card import Card, write_card
from agent_runtime.engine.text import Lead
from game_adapters import GAMES
from game_adapters.conformance import CHECKS
from tests.game_adapters.installed import install
from tests.tiny_models import save_tiny_adapter, save_tiny_model

LAMPS = "tests.game_adapters.lamps_game:Lamps"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["games", *map(str, arguments)], env={"COLUMNS": "200"})


def test_the_games_are_listed_ours_first() -> None:
    listed = json.loads(run("--json").stdout)
    assert [game["name"] for game in listed[: len(GAMES)]] == list(GAMES)
    table = run().stdout
    assert all(name in table for name in GAMES) and "hotseat games check module:Class" in table


def test_a_broken_installed_game_is_told_and_the_others_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "torn-games", {"torn": "torn_at_import:Torn"}, torn_at_import="raise OSError('no map')\n")
    monkeypatch.syspath_prepend(tmp_path)
    printed = run().stdout
    assert "torn (torn-games 1.2): importing torn_at_import" in printed and "raised OSError: no map" in printed
    assert "camp" in printed
    (torn,) = [game for game in json.loads(run("--json").stdout) if game["name"] == "torn"]
    assert "no map" in torn["error"] and torn["folder"] is None


def test_the_lead_of_an_adapters_blocks_is_counted(tmp_path: Path) -> None:
    base, adapter = save_tiny_model(tmp_path / "base"), save_tiny_adapter(tmp_path / "adapter")
    write_card(adapter, Card(("star",), lead=Lead.LABEL))
    said = [
        next(
            line
            for line in run("check", LAMPS, "--model", base, "--seeds", 1, *more).stdout.splitlines()
            if "blocks of" in line
        )
        for more in ((), ("--adapter", adapter))
    ]
    low, high = (int(re.search(r"blocks of (\d+)", line)[1]) for line in said)  # type: ignore[index]
    assert high == low + 2


def test_an_adapter_of_no_model_is_refused() -> None:
    result = run("check", LAMPS, "--model", "none", "--adapter", "tuned")
    assert result.exit_code == 2 and "with --model none there is no model" in result.output
    assert run("check", LAMPS, "--model", "none", "--adapter", "none", "--turns", 2).exit_code == 0


def test_a_sound_game_passes_with_a_line_for_each_check() -> None:
    result = run("check", LAMPS, "--model", "none", "--option", "players=3")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.split()[1] for line in lines[1:]] == list(CHECKS)
    assert all(line.startswith("  ok  ") for line in lines[1:])
    assert "estimated" in result.stderr


def test_a_failure_is_a_sentence_and_exit_code_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "leaky.py").write_text(
        "from tests.game_adapters.lamps_game import Lamps\n"
        "class Leaky(Lamps):\n"
        "    def observation(self, env, agent): return str(env.unwrapped.room.secrets)\n",
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    result = run("check", "leaky:Leaky", "--model", "none", "--seeds", "1", "--json")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert not report["passed"] and report["num_games"] == 1
    assert [finding["check"] for finding in report["findings"] if finding["outcome"] == "failed"] == ["hidden"]
    result = run("check", "leaky:Leaky", "--model", "none")
    assert result.exit_code == 1 and "  failed       hidden    seed 0, step 0, 'player_0'" in result.stdout


def test_a_game_or_an_option_that_does_not_exist_is_a_mistake_not_a_finding() -> None:
    for arguments, said in {
        ("chess",): "no game 'chess'",
        ("camp", "--option", "block=3"): "knows npcs, blocks, ticks",
    }.items():
        result = run("check", *arguments, "--model", "none")
        assert result.exit_code == 1 and result.exception is not None and said in str(result.exception)
    result = run("check", "camp", "--option", "blocks")
    assert result.exit_code == 2 and "NAME=VALUE" in result.stderr


def test_a_game_whose_environment_cannot_be_made_is_a_finding() -> None:
    result = run("check", "tests.agent_runtime.commands.test_games:Unmade", "--model", "none")
    assert result.exit_code == 1 and "make_env of" in result.stdout and "raised KeyError" in result.stdout


class Unmade:
    folder = "."

    def make_env(self, seed: int) -> object:
        raise KeyError("board")

    def describe(self, env: object, agent: str) -> object:
        return {}

    def action_names(self, env: object, agent: str) -> list[str]:
        return []
