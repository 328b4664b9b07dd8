"""`hotseat serve --reload`: an edited game folder becomes changed blocks in the matches that are being played, and a
new one a game that matches can be opened of."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from agent_runtime.errors import HotseatError
from agent_runtime.runtime import AgentRuntime
from prompts import Game, PromptsError, find_games, load_game

_log = logging.getLogger(__name__)

# So many names of changed blocks are told, and how many more there are.
_MOST_NAMES = 6


@dataclass(frozen=True, slots=True)
class _Refused:
    """An edit that could not be taken: what was told of it, and the new version if it could be read at all."""

    told: str
    game: Game | None


class GameWatcher:
    """Looks at the files of all games that are loaded, and into `folders` for new ones, once in `every_s`, on a thread
    of its own.

    A look costs one `stat` for each file that a game was read from, and one for each folder. `tell` hears a sentence of
    every edit: which blocks changed, or, once, why the edit is not taken; then the version before it stays in use, for
    all matches. `taken` hears the name of every game whose matches go on with an edited version.
    """

    def __init__(
        self,
        runtime: AgentRuntime,
        tell: Callable[[str], None],
        *,
        folders: Sequence[Path] = (),
        taken: Callable[[str], None] = lambda game: None,
        every_s: float = 1.0,
    ) -> None:
        self._runtime = runtime
        self._tell = tell
        self._folders = tuple(folders)
        self._taken = taken
        self._every_s = every_s
        # Of folders whose game cannot be read yet, what was told.
        self._not_yet: dict[Path, str] = {}
        self._refused: dict[str, _Refused] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hotseat-games", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self._every_s):
            try:
                self.look()
            except Exception:  # the server plays on, and the next look may succeed
                _log.exception("the game folders could not be looked at")

    def look(self) -> None:
        """Take what was edited or came since the last look."""
        self._look_for_new()
        for name, game in self._runtime.loaded_games().items():
            refused = self._refused.get(name)
            if edited := game.edited_files():
                # A version that could be read is tried again when one of its files changes; of one that could not be,
                # nobody knows which files it would be made of, so it is tried each time.
                if refused is None or refused.game is None or refused.game.edited_files():
                    names = sorted(file.relative_to(game.folder).as_posix() for file in edited)
                    self._take(game, ", ".join(names))
            elif refused is not None:
                del self._refused[name]
                self._tell(f"Game {name!r} is as it was before the edit that was refused.")

    def _look_for_new(self) -> None:
        known = self._runtime.known_games()
        for folder in self._folders:
            try:
                found = find_games([folder])
            except PromptsError as error:
                self._not_now(folder, f"No game is looked for in {folder}: {error}")
                continue
            for name, place in found.items():
                if name not in known:
                    self._add(name, place)

    def _add(self, name: str, folder: Path) -> None:
        try:
            game = load_game(folder)
            self._runtime.add_game(folder)
        except PromptsError as error:  # a folder is seldom written in one go
            self._not_now(folder, f"The new game {name!r} cannot be played yet: {error}")
            return
        self._not_yet.pop(folder, None)
        for warning in game.warnings:
            self._tell(warning)
        self._tell(f"Game {name!r} is new ({folder}): matches of it can be opened.")

    def _not_now(self, folder: Path, told: str) -> None:
        if self._not_yet.get(folder) != told:
            self._tell(told)
        self._not_yet[folder] = told

    def _take(self, game: Game, files: str) -> None:
        edited: Game | None = None
        try:
            edited = load_game(game.folder)
            changes = self._runtime.take_game(edited)
        except (PromptsError, HotseatError) as error:
            told = f"Game {game.name!r} stays as it was: {error}"
            if self._refused.get(game.name, _Refused("", None)).told != told:
                self._tell(told)
            self._refused[game.name] = _Refused(told, edited)
            return
        self._refused.pop(game.name, None)
        self._taken(game.name)
        for warning in edited.warnings:
            self._tell(warning)
        what = [f"match {match!r}: {_listed(names)}" for match, names in changes.items()]
        self._tell(f"Game {game.name!r} is read anew ({files}). {'; '.join(what) or 'No match of it is open'}.")


def _listed(names: tuple[str, ...]) -> str:
    if not names:
        return "no block changed"
    shown, more = ", ".join(names[:_MOST_NAMES]), len(names) - _MOST_NAMES
    return f"{len(names)} block{'s' * (len(names) > 1)} changed ({shown}{f' and {more} more' if more > 0 else ''})"
