import subprocess
import sys

import pytest

from game_adapters import GAMES, load_adapter, make_env
from game_adapters.errors import BadOption, GamesExtraMissing, UnknownGame
from game_adapters.registry import load_contract
from tests.game_adapters.fakes import FakeEnv, FakeGame


@pytest.mark.parametrize("game", GAMES)
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
        ("tests.game_adapters.fakes:FakeEnv", None),
        ("pathlib:Path", "lacks describe"),
    ],
)
def test_an_unknown_game_is_named_with_what_is_known(name: str, hint: str | None) -> None:
    with pytest.raises(UnknownGame, match=hint):
        load_contract(name)


def test_a_class_without_make_env_cannot_be_started_by_name() -> None:
    with pytest.raises(UnknownGame, match="no make_env"):
        make_env("tests.game_adapters.fakes:FakeGame", 1)


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
    ("game", "package"), [("texas_holdem", "rlcard"), ("texas_holdem", "pygame"), ("connect_four", "pygame")]
)
def test_a_missing_game_library_is_named_with_the_command_that_installs_it(game: str, package: str) -> None:
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
    assert 'pip install "hotseat[games]"' in done.stdout


def test_importing_the_package_loads_no_game_library() -> None:
    script = "import sys, game_adapters; print(sorted({'rlcard', 'pygame', 'pettingzoo'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"
