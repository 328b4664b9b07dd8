"""Which games there are: one line each. A game of one's own is named as module:Class and needs no line.

A class that is played by name (`make_env`) has `make_env(seed, *, option=default, ...)`, which returns a live
environment, already reset with that seed; the same seed and options give the same match.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Any

from game_adapters.adapter import Environment, GameContract, PettingZooAdapter
from game_adapters.errors import BadOption, GamesExtraMissing, UnknownGame

GAMES_EXTRA = ("rlcard", "pygame")


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
    }
)


def load_contract(game: str) -> GameContract:
    """The game's contract, by registered name or module:Class; raises UnknownGame."""
    target = GAMES[game].contract if game in GAMES else game
    module_name, separator, class_name = target.partition(":")
    if not separator:
        raise UnknownGame(game, tuple(GAMES))
    try:
        contract = getattr(import_module(module_name), class_name)()
    except ModuleNotFoundError as error:
        if error.name is None or not module_name.startswith(error.name):
            raise
        raise UnknownGame(game, tuple(GAMES), f"there is no module {error.name!r}") from error
    except AttributeError as error:
        if class_name in vars(import_module(module_name)):
            raise
        raise UnknownGame(game, tuple(GAMES), f"{module_name} has no {class_name!r}") from error
    if not (hasattr(contract, "describe") and hasattr(contract, "action_names")):
        raise UnknownGame(game, tuple(GAMES), f"{class_name} lacks describe or action_names")
    return contract  # type: ignore[no-any-return]  # checked above


def load_adapter(game: str) -> PettingZooAdapter:
    """The adapter of a game, by registered name or module:Class."""
    return PettingZooAdapter(game, load_contract(game))


def make_env(game: str, seed: int, **options: Any) -> Environment:
    """A live environment of the game, reset with the seed; raises BadOption, GamesExtraMissing, UnknownGame."""
    make = getattr(load_contract(game), "make_env", None)
    if make is None:
        raise UnknownGame(game, tuple(GAMES), "its class has no make_env, so it cannot be started by name")
    known = tuple(name for name in inspect.signature(make).parameters if name != "seed")
    for option in options:
        if option not in known:
            raise BadOption(game, option, f"it knows {', '.join(known) or 'no options'}.")
    try:
        return make(seed, **options)
    except Exception as error:
        package = _missing_package(error)
        if package is None:
            raise
        raise GamesExtraMissing(game, package) from error


def _missing_package(error: BaseException | None) -> str | None:
    """The package of the games extra whose absence is behind an error; PettingZoo wraps the import's own."""
    while error is not None:
        if isinstance(error, ModuleNotFoundError) and error.name in GAMES_EXTRA:
            return error.name
        error = error.__cause__
    return None
