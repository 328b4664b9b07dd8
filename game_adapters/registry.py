"""Which games there are: ours, one line each; installed ones, by entry point; and any other as module:Class.

A game of one's own is a class (`adapter.GameContract`) and a game folder. The class says where the folder lies, by the
attribute `folder`: a path from its module's file. A class that is played by name (`make_env`) has
`make_env(seed, *, option=default, ...)`, which returns a live environment, already reset with that seed; the same seed
and options give the same match. `plays_for_reward = True` says that gains count, as chips do, and not how often one
wins. A package that is installed offers its games by the entry point group `hotseat.games`:

    [project.entry-points."hotseat.games"]
    kuhn = "kuhn_game:Kuhn"
"""

import ast
import difflib
import inspect
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

from game_adapters.adapter import GameContract, PettingZooAdapter
from game_adapters.environments import Environment, checked_env, code_of
from game_adapters.errors import (
    BadOption,
    GameAdapterError,
    GameCodeFailed,
    GamesExtraMissing,
    IncompleteGame,
    NoGameFolder,
    UnknownGame,
)
from game_adapters.game_state import class_name
from prompts import PromptsError, find_games, load_game

GAMES_EXTRA = ("rlcard", "pygame")
EXPERTS_EXTRA = ("textworld", "minigrid", "pyspiel")
ENTRY_POINTS = "hotseat.games"
BUILT_IN = "built in"
_CONTRACT = ("describe", "action_names")
MAKE_ENV = (
    "make_env(self, seed), which returns the environment, reset with the seed; without it a game cannot be started by "
    "its name"
)


@dataclass(frozen=True, slots=True)
class GameLine:
    """Where a game's class is (module:Class) and which game folder holds its prompts."""

    contract: str
    folder: str


GAMES: Mapping[str, GameLine] = MappingProxyType(
    {
        "texas_holdem": GameLine("game_adapters.texas_holdem:TexasHoldem", "texas_holdem"),
        "connect_four": GameLine("game_adapters.connect_four:ConnectFour", "connect_four"),
        "camp": GameLine("game_adapters.camp:Camp", "camp"),
        "leduc": GameLine("game_adapters.leduc:Leduc", "leduc"),
        "tic_tac_toe": GameLine("game_adapters.tic_tac_toe:TicTacToe", "tic_tac_toe"),
        "textworld": GameLine("game_adapters.textworld_game:TextWorldGame", "textworld"),
        "babyai": GameLine("game_adapters.babyai:BabyAI", "babyai"),
        "open_spiel": GameLine("game_adapters.open_spiel:OpenSpiel", "open_spiel"),
    }
)


@dataclass(frozen=True, slots=True)
class ListedGame:
    """A game that has a name: who brought it (`built in`, or an installed package), its class, and its folder's title.

    `error` says why it cannot be played; then `folder` and `title` may be None.
    """

    name: str
    source: str
    contract: str
    folder: Path | None
    title: str | None
    error: str | None


def list_games() -> list[ListedGame]:
    """All games that have a name, ours first. A broken one is listed with its error, and keeps nobody else out."""
    named = [(name, BUILT_IN, line.contract) for name, line in GAMES.items()]
    named += [(point.name, _package(point), _class_of(point)) for point in _entry_points()]
    return [_listed(number, named) for number in range(len(named))]


def _listed(number: int, named: list[tuple[str, str, str]]) -> ListedGame:
    name, source, contract = named[number]
    folder = title = error = None
    first = next(other for other in named if other[0] == name)
    try:
        if first is not named[number]:
            error = f"{first[1]} has a game of this name too, which is taken. Play this one as {contract}."
        folder = game_folder(contract)
        title = load_game(folder).title
    except (GameAdapterError, PromptsError) as raised:
        error = error or str(raised)
    return ListedGame(name, source, contract, folder, title, error)


def installed_folders() -> Iterator[tuple[str, Path | GameAdapterError]]:
    """The game folders of installed packages by the names of the games, or why there is none."""
    for point in _entry_points():
        try:
            yield point.name, game_folder(_class_of(point))
        except GameAdapterError as error:
            yield point.name, error


def load_contract(game: str) -> GameContract:
    """The game's contract, by our name, an entry point's name, or module:Class.

    Raises UnknownGame, IncompleteGame and GameCodeFailed.
    """
    module_name, separator, name = _target(game).partition(":")
    if not separator:
        raise UnknownGame(game, known_names(), nearest=_nearest(game))
    module = _imported(game, module_name)
    try:
        made: Any = reduce(getattr, name.split("."), module)
    except AttributeError as error:
        nearest = _nearest_class(module, name)
        raise UnknownGame(game, known_names(), f"{module_name} has no {name!r}", nearest) from error
    with code_of(game, f"{name}()"):
        contract = made() if isinstance(made, type) else made
    if missing := [method for method in _CONTRACT if not hasattr(contract, method)]:
        raise IncompleteGame(game, f"{' and '.join(missing)}, which every game has", _nearest_class(module, name))
    return contract  # type: ignore[no-any-return]  # checked above


def load_adapter(game: str) -> PettingZooAdapter:
    """The adapter of a game, by our name, an entry point's name, or module:Class."""
    return PettingZooAdapter(game, load_contract(game))


def game_folder(game: str | GameContract) -> Path:
    """The folder with a game's prompts: what its class says, or ours. Raises NoGameFolder, and as load_contract."""
    name = game if isinstance(game, str) else class_name(type(game))
    contract = load_contract(game) if isinstance(game, str) else game
    for cls in type(contract).__mro__:
        if (said := vars(cls).get("folder")) is not None:
            file = getattr(sys.modules.get(cls.__module__), "__file__", None)
            folder: Path = (Path(file).resolve().parent if file else Path.cwd()) / said
            if not (folder / "game.toml").is_file():
                raise NoGameFolder(name, f"there is no {folder / 'game.toml'}")
            return folder
        for line in GAMES.values():
            module, _, contract_name = line.contract.partition(":")
            if cls.__name__ == contract_name and cls.__module__.startswith(module):
                return find_games([])[line.folder]
    raise NoGameFolder(name, "its class has no attribute `folder`")


def make_env(game: str, seed: int, **options: Any) -> Environment:
    """A live environment of the game, reset with the seed.

    Raises BadOption, GamesExtraMissing, GameCodeFailed, NoEnvironment, IncompleteGame, UnknownGame.
    """
    make = getattr(load_contract(game), "make_env", None)
    if make is None:
        raise IncompleteGame(game, MAKE_ENV)
    known = tuple(name for name in inspect.signature(make).parameters if name != "seed")
    for option in options:
        if option not in known:
            raise BadOption(game, option, f"it knows {', '.join(known) or 'no options'}.")
    try:
        return checked_env(game, make(seed, **options), make)
    except GameAdapterError:
        raise
    except Exception as error:
        if (lacking := missing_extra(error)) is None:
            raise GameCodeFailed(game, "make_env", error) from error
        raise GamesExtraMissing(game, *lacking) from error


def missing_extra(error: BaseException | None) -> tuple[str, str] | None:
    """The package whose absence is behind an error, and the extra of ours that brings it; PettingZoo wraps the
    import's own error."""
    while error is not None:
        if isinstance(error, ModuleNotFoundError) and error.name in GAMES_EXTRA + EXPERTS_EXTRA:
            return error.name, "games" if error.name in GAMES_EXTRA else "experts"
        error = error.__cause__
    return None


def known_names() -> tuple[str, ...]:
    """The names of all games that have one."""
    return tuple(dict.fromkeys((*GAMES, *(point.name for point in _entry_points()))))


def _nearest(name: str) -> str | None:
    """What may have been meant by a name without a class: a game of nearly that name, or a class of that module."""
    if alike := difflib.get_close_matches(name, known_names(), n=1):
        return alike[0]
    classes = _classes_of_file(name)
    return f"{name}:{classes[0]}" if classes else None


def _classes_of_file(module: str) -> list[str]:
    """The games in a module by this name, read and not run: nobody has asked for that."""
    try:
        spec = find_spec(module) if module.isidentifier() else None
        parsed = ast.parse(Path(spec.origin).read_bytes()) if spec and spec.has_location and spec.origin else None
    except (ImportError, OSError, SyntaxError, ValueError):
        return []
    return [
        statement.name
        for statement in (parsed.body if parsed else ())
        if isinstance(statement, ast.ClassDef)
        and any(isinstance(part, ast.FunctionDef) and part.name in _CONTRACT for part in statement.body)
    ]


def _nearest_class(module: Any, name: str) -> str | None:
    """The game in a module whose name is nearest, or the only one."""
    games = [
        each
        for each, kind in vars(module).items()
        if isinstance(kind, type) and all(hasattr(kind, m) for m in _CONTRACT)
    ]
    alike = difflib.get_close_matches(name, games, n=1, cutoff=0.4) or (games if len(games) == 1 else [])
    return f"{module.__name__}:{alike[0]}" if alike else None


def _target(game: str) -> str:
    if game in GAMES:
        return GAMES[game].contract
    if ":" in game:
        return game
    return next((_class_of(point) for point in _entry_points() if point.name == game), game)


def _entry_points() -> tuple[EntryPoint, ...]:
    return tuple(sorted(entry_points(group=ENTRY_POINTS), key=lambda point: (point.name, point.value)))


def _class_of(point: EntryPoint) -> str:
    """Its module:Class, without the extras that the format allows behind it."""
    return point.value.partition("[")[0].strip()


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else "an installed package"


def _imported(game: str, module_name: str) -> Any:
    try:
        return import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            hint = "; leave out the .py" if module_name.endswith(".py") else ""
            nearest = next(iter(difflib.get_close_matches(game, known_names(), n=1)), None)
            raise UnknownGame(game, known_names(), f"there is no module {error.name!r}{hint}", nearest) from error
        raise GameCodeFailed(game, f"importing {module_name}", error) from error
    except Exception as error:  # a module is a program, and raises what it likes
        raise GameCodeFailed(game, f"importing {module_name}", error) from error
