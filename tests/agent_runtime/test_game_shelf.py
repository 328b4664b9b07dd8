"""agent_runtime.game_shelf: games by name, read when they are asked for."""

import logging
from pathlib import Path

import pytest

from agent_runtime.errors import UnknownName
from agent_runtime.game_shelf import GameShelf
from prompts import load_game
from prompts.errors import GameFolderError
from tests.prompts.worlds import write_game


def test_a_game_is_read_once_and_until_another_version_takes_its_place(tmp_path: Path) -> None:
    shelf = GameShelf([write_game(tmp_path).parent])
    assert shelf.loaded() == {} and "tiny" in shelf.names()
    game = shelf.game("tiny")
    assert shelf.game("tiny") is game and shelf.loaded() == {"tiny": game}
    edited = load_game(tmp_path / "tiny")
    shelf.replace(edited)
    assert shelf.game("tiny") is edited
    with pytest.raises(UnknownName, match="Did you mean 'tiny'"):
        shelf.game("tinny")


def test_a_game_that_does_not_load_is_left_out_and_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shelf = GameShelf([write_game(tmp_path, "broken = [").parent])
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert "tiny" not in {game.name for game in shelf.sound()}
    assert caplog.text.count("game 'tiny' is left out") == 1


def test_a_folder_can_be_added_but_not_in_another_ones_place(tmp_path: Path) -> None:
    shelf = GameShelf([])
    (tmp_path / "other").mkdir()
    for _ in range(2):
        shelf.add(write_game(tmp_path))
    assert shelf.game("tiny").name == "tiny"
    with pytest.raises(GameFolderError, match="is a game of that name too"):
        shelf.add(write_game(tmp_path / "other"))
