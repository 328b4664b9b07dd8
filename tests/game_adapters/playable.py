"""Our games as parameters of tests; one whose library is not installed is skipped, and says so."""

from importlib.util import find_spec

import pytest

from game_adapters import GAMES

LIBRARIES = {"textworld": "textworld", "babyai": "minigrid", "open_spiel": "pyspiel"}


def playable(game: str) -> object:
    """A game as a parameter."""
    library = LIBRARIES.get(game)
    lacks = library is not None and find_spec(library) is None
    return pytest.param(game, marks=pytest.mark.skipif(lacks, reason=f"{library} is not installed: make test-games"))


PLAYABLE = [playable(game) for game in GAMES]
