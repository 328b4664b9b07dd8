"""The games that matches can be opened of: folders by their names, each read when it is first asked for."""

import logging
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from agent_runtime.errors import named
from prompts import Game, PromptsError, find_games, load_game
from prompts.errors import GameFolderError

_log = logging.getLogger(__name__)


class GameShelf:
    """Games by name, for several threads."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = dict(find_games(folders))
        self._loaded: dict[str, Game] = {}
        self._left_out: set[str] = set()
        self._lock = threading.RLock()

    def game(self, name: str) -> Game:
        """Return a game, read now if it was not yet. Raises UnknownName, GameFolderError."""
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = load_game(named("game", name, self._folders))
            return self._loaded[name]

    def sound(self) -> Iterator[Game]:
        """Yield the games that load. One broken folder keeps nobody from playing the others."""
        for name in sorted(self._folders):
            try:
                yield self.game(name)
            except PromptsError as error:
                if name not in self._left_out:
                    self._left_out.add(name)
                    _log.warning("game %r is left out: %s", name, error)

    def add(self, folder: Path) -> None:
        """Take the game in a folder too. Raises GameFolderError if another folder's has its name."""
        with self._lock:
            known = self._folders.setdefault(folder.resolve().name, folder)
            if known.resolve() != folder.resolve():
                raise GameFolderError(folder, None, f"{known} is a game of that name too. Rename one of them.")

    def replace(self, game: Game) -> None:
        """Put an edited version of a game in its place."""
        with self._lock:
            self._loaded[game.name] = game

    def names(self) -> frozenset[str]:
        """Return the names of all games."""
        with self._lock:
            return frozenset(self._folders)

    def loaded(self) -> dict[str, Game]:
        """Return the games that were read so far, by name."""
        with self._lock:
            return dict(self._loaded)
