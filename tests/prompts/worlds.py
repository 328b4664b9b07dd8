"""Small games and states that the tests of this room share."""

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from prompts import Game, StateBlocks, load_game

Json = Any


def rule(match: str, name: str, **more: str | int) -> str:
    """A [[segment]] for game.toml."""
    keys = "".join(f"{key} = {json.dumps(value)}\n" for key, value in more.items())
    return f'\n[[segment]]\nmatch = "{match}"\nname = "{name}"\n{keys}'


def live(match: str) -> str:
    """A [[live]] for game.toml."""
    return f'\n[[live]]\nmatch = "{match}"\n'


UNITS = rule("/units/*", "unit/{key}", key="id")


def write_game(parent: Path, toml: str = "", files: Mapping[str, str] | None = None, name: str = "tiny") -> Path:
    """A game folder on disk: `files` by their path in the folder, rules.md is there unless given."""
    folder = parent / name
    for path, text in {"game.toml": f'name = "{name}"\n{toml}', "rules.md": "Be kind.\n", **(files or {})}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return folder


def make_game(parent: Path, toml: str = "", files: Mapping[str, str] | None = None) -> Game:
    return load_game(write_game(parent, toml, files))


def count_words(text: str) -> int:
    """A stand-in for a tokenizer: about four characters a token."""
    return (len(text) + 3) // 4


def blocks_of(game: Game, state: Json, sight: Sequence[str] = ()) -> dict[str, str]:
    """Names and texts of the blocks of one state, in order."""
    blocks = StateBlocks(game, count_words, sight)
    blocks.replace(state)
    return {block.name: block.text for block in blocks.blocks}


def some_units(count: int) -> list[Json]:
    return [{"id": f"unit-{number}", "hp": number % 17, "pos": {"x": number, "y": 3}} for number in range(count)]


def shuffled(value: Json, seed: int) -> Json:
    """The same value with the members of every object in another order."""
    if isinstance(value, list):
        return [shuffled(member, seed) for member in value]
    if isinstance(value, dict):
        keys = sorted(value)
        random.Random(seed).shuffle(keys)
        return {key: shuffled(value[key], seed) for key in keys}
    return value


# Few names and values, so that paths meet rules and values each other; 1, 1.0 and True are not the same JSON.
names = st.sampled_from(["a", "b", "units", "id", "pos", "log", "~", "x/y", "ü\n"])
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 2), st.sampled_from([1.0, -0.0, 2.5, 10**30]), st.text(max_size=5)
)
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4), max_leaves=25
)
units = st.lists(
    st.fixed_dictionaries(
        {"id": st.sampled_from("pqrst")}, optional={"pos": json_values, "hp": scalars, "log": json_values}
    ),
    max_size=5,
)
worlds = st.one_of(
    json_values,
    st.fixed_dictionaries(
        {"units": units | json_values}, optional={"a": json_values, "log": json_values, "b": scalars}
    ),
)
