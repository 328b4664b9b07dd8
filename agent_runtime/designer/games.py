"""A game by what a person types: its folder, its name, or the class that plays it."""

from collections.abc import Sequence
from pathlib import Path

from agent_runtime.errors import named
from game_adapters import registry
from prompts import find_games


def game_folder(game: str, games: Sequence[Path] = ()) -> Path:
    """Return a game's folder: `game` is one, or the name of one in `games`, ours or installed, or module:Class.

    A name that `games` has means the one there, whatever folder of that name lies where the command runs. Raises
    UnknownName with the nearest name, GameFolderError for `games`, and what importing a class raises.
    """
    known = find_games(games)
    if known.get(game) in [each for folder in games for each in (folder, folder / game)]:
        return known[game]
    if (Path(game) / "game.toml").is_file():
        return Path(game)
    if game in known:
        return known[game]
    if ":" in game or game in registry.known_names():
        return registry.game_folder(game)
    if any(sign in game for sign in "/\\") or Path(game).is_dir():
        return Path(game)  # a path with no game there is told so
    return named("game", game, {**known, **dict.fromkeys(registry.known_names(), Path())})
