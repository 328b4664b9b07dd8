"""agent_runtime.designer.games: a game by what a person types."""

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from agent_runtime.designer.games import game_folder
from agent_runtime.errors import UnknownName
from game_adapters import GameAdapterError, registry
from prompts import PromptsError, find_games, load_game
from tests.prompts.worlds import write_game

LAMPS = "tests.game_adapters.lamps_game:Lamps"


def test_a_game_is_its_folder_its_name_or_its_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_game(tmp_path)
    assert game_folder(str(folder)) == folder
    assert game_folder("tiny", [tmp_path]) == folder
    assert game_folder("camp") == find_games(())["camp"]
    assert load_game(game_folder(LAMPS)).name == "lamps"
    monkeypatch.chdir(folder)
    assert game_folder(".").resolve() == folder


def test_a_name_means_the_game_that_games_has_before_a_folder_where_the_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    folder = write_game(there)
    write_game(here)
    (here / "camp").mkdir()
    monkeypatch.chdir(here)
    assert game_folder("tiny", [there]) == game_folder("tiny", [folder]) == folder
    assert game_folder("tiny") == Path("tiny")
    assert game_folder("camp") == find_games(())["camp"]  # an empty folder is no game


def test_an_installed_game_goes_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("shiny", LAMPS, registry.ENTRY_POINTS)
    monkeypatch.setattr(registry, "_entry_points", lambda: (point,))
    assert load_game(game_folder("shiny")).name == "lamps"
    with pytest.raises(UnknownName, match="Did you mean 'shiny'"):
        game_folder("shinny")


def test_what_is_none_of_them_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'camp'"):
        game_folder("cmap")
    with pytest.raises(GameAdapterError, match="no_such_module"):
        game_folder("no_such_module:Game")
    for path in ("./nowhere", str(tmp_path)):
        with pytest.raises(PromptsError, match=r"game\.toml: there is no such file"):
            load_game(game_folder(path))
