import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from game_adapters import GAMES, load_adapter, make_env
from game_adapters.errors import BadOption, GameCodeFailed, GamesExtraMissing, IncompleteGame, NoGameFolder, UnknownGame
from game_adapters.registry import game_folder, installed_folders, known_names, list_games, load_contract
from game_adapters.texas_holdem import TexasHoldem
from tests.game_adapters import lamps_game
from tests.game_adapters.fakes import FakeEnv, FakeGame
from tests.game_adapters.installed import WAITING, install, write_folder
from tests.game_adapters.lamps_game import Lamps
from tests.game_adapters.playable import PLAYABLE


@pytest.mark.parametrize("game", PLAYABLE)
def test_every_registered_game_makes_a_live_environment_with_a_turn(game: str) -> None:
    view = load_adapter(game).turn(make_env(game, 3))
    assert view is not None
    assert view.game == game
    assert view.actions


def test_a_game_of_ones_own_is_named_by_module_and_class() -> None:
    adapter = load_adapter("tests.game_adapters.fakes:FakeGame")
    assert isinstance(adapter.contract, FakeGame)
    assert adapter.turn(FakeEnv()) is not None


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("chess", "Known: texas_holdem, connect_four, camp"),
        ("no_such_module:Game", "no module 'no_such_module'"),
        ("tests.no_such_module:Game", "no module 'tests.no_such_module'"),
        ("tests.game_adapters.fakes:Gone", "no 'Gone'"),
        ("camps", "Did you mean 'camp'[?] Known"),
        ("tests.game_adapters.lamps_game:Lamsp", "no 'Lamsp'. Did you mean 'tests.game_adapters.lamps_game:Lamps'"),
    ],
)
def test_an_unknown_game_is_named_with_what_is_known(name: str, hint: str | None) -> None:
    with pytest.raises(UnknownGame, match=hint):
        load_contract(name)


def test_a_class_without_make_env_cannot_be_started_by_name() -> None:
    with pytest.raises(IncompleteGame, match=r"FakeGame is there, but lacks make_env\(self, seed\), which returns"):
        make_env("tests.game_adapters.fakes:FakeGame", 1)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        (
            "tests.game_adapters.fakes:FakeEnv",
            "FakeEnv is there, but lacks describe and action_names.*mean '.*:FakeGame'",
        ),
        ("pathlib:Path", "lacks describe and action_names, which every game has.$"),
    ],
)
def test_a_class_that_is_no_game_is_told_what_it_lacks(name: str, hint: str) -> None:
    with pytest.raises(IncompleteGame, match=hint):
        load_contract(name)


def test_a_module_named_without_its_class_is_read_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_frogs.py").write_text("import no_such_thing\n" + WAITING, encoding="utf-8")
    (tmp_path / "own_torn.py").write_text("def (:\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UnknownGame, match="no game 'own_frogs'. Did you mean 'own_frogs:Waiting'[?]"):
        load_contract("own_frogs")
    with pytest.raises(UnknownGame, match="no game 'own_torn'. Known"):
        load_contract("own_torn")


@pytest.mark.parametrize(
    ("game", "options", "hint"),
    [
        ("camp", {"block": 300}, "knows npcs, blocks, ticks"),
        ("camp", {"blocks": 5}, "at least 19"),
        ("camp", {"npcs": 0}, "at least 1"),
        ("camp", {"ticks": 0}, "at least 1"),
        ("texas_holdem", {"hands": 0}, "at least 1"),
        ("texas_holdem", {"chips": 1}, "at least 2"),
        ("connect_four", {"rows": 6}, "knows no options"),
    ],
)
def test_an_option_that_cannot_be_used_is_refused_with_what_can(game: str, options: dict[str, int], hint: str) -> None:
    with pytest.raises(BadOption, match=hint):
        make_env(game, 1, **options)


@pytest.mark.parametrize(
    ("game", "package", "extra"),
    [
        ("texas_holdem", "rlcard", "games"),
        ("texas_holdem", "pygame", "games"),
        ("connect_four", "pygame", "games"),
        ("leduc", "rlcard", "games"),
        ("tic_tac_toe", "pygame", "games"),
        ("textworld", "textworld", "experts"),
        ("babyai", "minigrid", "experts"),
        ("open_spiel", "pyspiel", "experts"),
    ],
)
def test_a_missing_game_library_is_named_with_the_command_that_installs_it(game: str, package: str, extra: str) -> None:
    script = (
        "import sys\n"
        f"sys.modules[{package!r}] = None\n"
        "from game_adapters import load_adapter, make_env\n"
        f"load_adapter({game!r})\n"
        f"try: make_env({game!r}, 1)\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith(f"{GamesExtraMissing.__name__} {game} needs {package}")
    assert f'pip install "hotseat[{extra}]"' in done.stdout


def test_importing_the_package_loads_no_game_library() -> None:
    script = "import sys, game_adapters; print(sorted({'rlcard', 'pygame', 'pettingzoo'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


def test_listing_the_games_loads_none_of_their_libraries() -> None:
    script = (
        "import sys\n"
        "from game_adapters.registry import list_games\n"
        "assert not [game.error for game in list_games() if game.error]\n"
        "print(sorted({'rlcard', 'pygame', 'textworld', 'minigrid', 'pyspiel'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    games = {
        "quiet": "quiet_game:Waiting [chess]",
        "torn": "torn_game:Torn",
        "gone": "no_such_module_anywhere:Gone",
        "homeless": "quiet_game:Homeless",
        "camp": "quiet_game:Waiting",
    }
    homeless = WAITING + "class Homeless(Waiting):\n    folder = 'nowhere'\n"
    install(
        tmp_path, "quiet-games", games, quiet_game=homeless, torn_game="import quiet_game\nraise OSError('no map')\n"
    )
    write_folder(tmp_path / "quiet", "The quiet place")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for module in ("quiet_game", "torn_game"):
        sys.modules.pop(module, None)


def test_installed_games_are_found_by_their_names(installed: Path) -> None:
    assert type(load_contract("quiet")).__name__ == "Waiting"
    assert game_folder("quiet") == installed / "quiet"
    assert set(known_names()) == {*GAMES, "quiet", "torn", "gone", "homeless"}
    with pytest.raises(UnknownGame, match="Known: .*quiet"):
        load_contract("quite")


def test_a_broken_game_is_listed_with_its_error_and_keeps_nobody_out(installed: Path) -> None:
    listed = list_games()
    assert [game.name for game in listed[: len(GAMES)]] == list(GAMES)
    assert all(game.source == "built in" and game.error is None and game.title for game in listed[: len(GAMES)])
    rest = {game.name: game for game in listed[len(GAMES) :]}
    assert {game.source for game in rest.values()} == {"quiet-games 1.2"}
    quiet = rest.pop("quiet")
    assert (quiet.title, quiet.folder, quiet.error) == ("The quiet place", installed / "quiet", None)
    said = {name: game.error or "" for name, game in rest.items()}
    assert "raised OSError: no map" in said["torn"] and "torn_game.py:2" in said["torn"]
    assert "no module 'no_such_module_anywhere'" in said["gone"]
    assert "has no game folder: there is no" in said["homeless"] and "attribute `folder`" in said["homeless"]
    assert "built in has a game of this name too" in said["camp"] and "quiet_game:Waiting" in said["camp"]
    folders = dict(installed_folders())
    assert folders["quiet"] == installed / "quiet" and isinstance(folders["torn"], GameCodeFailed)


def test_the_folders_of_our_games_are_found_also_for_a_class_that_changes_one() -> None:
    class Other(TexasHoldem):
        """Says things in other words."""

    for game in GAMES:
        assert game_folder(game).name == GAMES[game].folder
    assert game_folder(Other()) == game_folder("texas_holdem")


def test_a_class_names_its_folder_from_its_module_and_one_that_does_not_is_told_how() -> None:
    assert game_folder(Lamps()) == Path(lamps_game.__file__).parent / "lamps"
    assert game_folder("tests.game_adapters.lamps_game:Lamps") == game_folder(Lamps())
    with pytest.raises(NoGameFolder, match="no attribute `folder`"):
        game_folder(FakeGame())


def test_what_a_games_own_code_raises_is_told_with_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bad_syntax.py").write_text("x = 1\ndef (:\n", encoding="utf-8")
    (tmp_path / "bad_start.py").write_text(
        WAITING + "class Late(Waiting):\n    def __init__(self): self.x = self.y\n"
        "class Unmade(Waiting):\n    def make_env(self, seed): return {}['board']\n",
        encoding="utf-8",
    )
    (tmp_path / "bad_import.py").write_text("import a_library_that_is_not_there\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    for name, said in {
        "bad_syntax:Game": r"importing bad_syntax of .* raised SyntaxError: .*bad_syntax.py:2\)",
        "bad_import:Game": r"raised ModuleNotFoundError: .*a_library_that_is_not_there.*bad_import.py:1\)",
        "bad_start:Late": r"Late\(\) of .* raised AttributeError: .*bad_start.py:7\)",
    }.items():
        with pytest.raises(GameCodeFailed, match=said):
            load_contract(name)
    with pytest.raises(GameCodeFailed, match=r"make_env of .* raised KeyError: 'board' .*bad_start.py:9\)"):
        make_env("bad_start:Unmade", 1)
    with pytest.raises(UnknownGame, match="leave out the .py"):
        load_contract("bad_start.py:Late")
