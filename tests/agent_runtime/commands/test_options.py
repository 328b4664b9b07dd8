"""What several commands read in the same way."""

import os
import sys
from pathlib import Path

import pytest
import typer

from agent_runtime.commands.options import game_options, import_from_here, installed_games
from tests.game_adapters.installed import WAITING, install, write_folder


def test_a_games_options_are_read_as_json_where_they_read_like_it() -> None:
    said = ["blocks=24", "speed=0.5", "open=true", "name=the mill", "place=a=b", "empty="]
    assert game_options(said) == {
        "blocks": 24,
        "speed": 0.5,
        "open": True,
        "name": "the mill",
        "place": "a=b",
        "empty": "",
    }
    assert game_options(None) == {}
    for wrong in ("blocks", "=3"):
        with pytest.raises(typer.BadParameter, match="NAME=VALUE"):
            game_options([wrong])


def test_modules_of_the_current_folder_can_be_named_once_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path not in ("", os.getcwd())])
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        import_from_here()
    assert sys.path[0] == os.getcwd() and sys.path.count(os.getcwd()) == 1


def test_the_folders_of_installed_games_are_taken_and_broken_ones_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    assert installed_games(told.append) == ()
    games = {"quiet": "quiet_there:Waiting", "torn": "torn_there:Torn"}
    install(tmp_path, "two-games", games, quiet_there=WAITING, torn_there="raise OSError('no map')\n")
    write_folder(tmp_path / "quiet", "Quiet")
    monkeypatch.syspath_prepend(tmp_path)
    assert installed_games(told.append) == (tmp_path / "quiet",)
    (sentence,) = told
    assert sentence.startswith("The installed game 'torn' is left out: importing torn_there") and "no map" in sentence
