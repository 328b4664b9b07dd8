"""`hotseat prompts check`, as a function: read, follow, advise."""

from collections.abc import Sequence
from pathlib import Path

from agent_runtime.designer.advice import advise
from agent_runtime.designer.course import follow
from agent_runtime.designer.frames import read_frames
from agent_runtime.designer.report import PromptsReport
from agent_runtime.designer.tokens import token_counter
from agent_runtime.errors import named
from prompts import Game, find_games, load_game


def check_prompts(game: str, states: Path, games: Sequence[Path], sight: Sequence[str], model: str) -> PromptsReport:
    """Follow the states of a file under a game. Raises what a name, a folder, a file or a tokenizer can cause."""
    read = open_game(game, games)
    file = read_frames(states)
    counter = token_counter(model)
    course = follow(read, file, counter, sight)
    return PromptsReport(course, advise(course, counter), counter)


def open_game(game: str, games: Sequence[Path]) -> Game:
    """Return a game by its name or its folder. Raises UnknownName or GameFolderError."""
    return load_game(game_folder(game, games))


def game_folder(game: str, games: Sequence[Path]) -> Path:
    """Return the folder of a game that is named by it, or found by name. Raises UnknownName or GameFolderError."""
    known = find_games(games)
    if game in known:
        return known[game]
    if (Path(game) / "game.toml").is_file() or any(sign in game for sign in "/\\"):
        return Path(game)
    return named("game", game, known)
