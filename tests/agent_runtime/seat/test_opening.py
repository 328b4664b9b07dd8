"""What a seat is opened with: a game by any of its names, and the folder that is taken."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent_runtime.engine.errors import ModelNotFound
from agent_runtime.engine.loading import LoadedModel
from agent_runtime.seat import Seat
from agent_runtime.seat.opening import folder_of
from game_adapters.errors import NoGameFolder, UnknownGame
from game_adapters.registry import game_folder, load_contract
from prompts.errors import GameFolderError
from tests.agent_runtime.worlds import load_tiny
from tests.game_adapters.fakes import FakeGame
from tests.game_adapters.installed import install
from tests.game_adapters.lamps_game import Lamps, LampsEnv


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return replace(load_tiny(tmp_path_factory.mktemp("models")), context_limit=16384)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    code = "from tests.game_adapters.lamps_game import Lamps as Bought\n"
    install(tmp_path, "lamp-shop", {"lamps_to_buy": "lamp_shop:Bought"}, lamp_shop=code)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("lamp_shop", None)


@pytest.mark.parametrize("game", ["tests.game_adapters.lamps_game:Lamps", "lamps_to_buy", Lamps()])
def test_a_game_goes_by_its_class_an_installed_name_or_itself(
    loaded: LoadedModel, installed: None, game: str | Lamps
) -> None:
    env = LampsEnv()
    env.reset(seed=1)
    with Seat(game, loaded, pool_mib=16) as seat:
        assert seat.game == "lamps" and seat.act(env) is not None


def test_a_folder_of_the_same_name_is_taken_in_place_of_the_games_own(tmp_path: Path) -> None:
    contract = load_contract("camp")
    (tmp_path / "camp").mkdir()
    assert folder_of(contract, [tmp_path]) == game_folder("camp"), "a folder without game.toml is none"
    (tmp_path / "camp" / "game.toml").write_text('name = "camp"\n', encoding="utf-8")
    assert folder_of(contract, [tmp_path]) == tmp_path / "camp" == folder_of(contract, [tmp_path / "camp"])
    assert folder_of(load_contract("connect_four"), [tmp_path]) == game_folder("connect_four")


def test_what_is_wrong_is_said_before_a_model_is_loaded(tmp_path: Path) -> None:
    nowhere = "there/is/no/such/model"
    with pytest.raises(UnknownGame):
        Seat("chess", nowhere)
    with pytest.raises(NoGameFolder, match="attribute `folder`"):
        Seat(FakeGame(), nowhere)
    with pytest.raises(ValueError, match="one of auto, .*, not 'fast'"):
        Seat(Lamps(), nowhere, mode="fast")
    with pytest.raises(ModelNotFound):
        Seat(Lamps(), nowhere)


def test_another_game_of_the_same_name_in_a_shared_runtime_is_refused(loaded: LoadedModel, tmp_path: Path) -> None:
    class Other(Lamps):
        folder = tmp_path / "lamps"

    Other.folder.mkdir()
    (Other.folder / "game.toml").write_text('name = "lamps"\n', encoding="utf-8")
    (Other.folder / "rules.md").write_text("Other rules.\n", encoding="utf-8")
    with Seat(Lamps(), loaded, pool_mib=16) as seat, pytest.raises(GameFolderError, match="a game of that name too"):
        Seat(Other(), runtime=seat.runtime)
