"""Synthetic prompts of exact sizes: a game of numbered blocks, cut by the same rules as any game."""

import random
from collections.abc import Callable
from pathlib import Path

GAME = "bench"
# Common words, each one token of the embedded model when a space precedes it.
_WORDS = "the of and to in is that for it as was with be by on not he his but at are this have from or had an they"

_GAME_TOML = """\
name = "bench"

[[segment]]
match = "/blocks/*"
name = "block/{key}"
key = "id"
render = "block.md"
"""

_FILES = {
    "game.toml": _GAME_TOML,
    "rules.md": "Answer with one letter.\n",
    "block.md": "{{ value.text }}\n",
    "observation.md": "{{ text }}\nAnswer:",
}


def write_game(folder: Path) -> Path:
    """Write the benchmark's game folder under `folder` and return `folder`."""
    (folder / GAME).mkdir(parents=True)
    for name, text in _FILES.items():
        (folder / GAME / name).write_text(text, encoding="utf-8")
    return folder


class Sentences:
    """Random sentences of an exact number of tokens."""

    def __init__(self, count: Callable[[str], int], seed: int) -> None:
        self._count = count
        self._random = random.Random(seed)

    def sentence(self, num_tokens: int) -> str:
        """Return words that count `num_tokens` tokens behind a line break."""
        words = [self._random.choice(_WORDS.split()) for _ in range(num_tokens + 8)]
        low, high = 1, len(words)
        while low < high:
            middle = (low + high) // 2
            if self._count("\n" + " ".join(words[:middle])) < num_tokens:
                low = middle + 1
            else:
                high = middle
        return " ".join(words[:low])
