"""Files of samples from a generator: the same bytes by one process and by several, and a tally of what is in them."""

import subprocess
import sys
from pathlib import Path

import pytest

from agent_runtime.tuning.data.demonstrations import Demonstrations
from agent_runtime.tuning.data.gamecore import GameCore
from agent_runtime.tuning.data.generating import FOLDERS, Recipe, Tally, game_of, random_of, write_samples
from agent_runtime.tuning.data.passages import Passages
from agent_runtime.tuning.samples import Ask, Sample, read_header, read_samples
from prompts import find_games

RECIPES: list[Recipe] = [GameCore(seed=4, blocks=(8, 20)), Passages(seed=4, blocks=(10, 12)), Demonstrations(seed=4)]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_a_file_holds_the_samples_by_their_numbers_and_how_they_were_made(recipe: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    heard: list[int] = []
    tally = write_samples(recipe, 70, path, tell=heard.append)
    maker = recipe.maker()
    read = [*read_samples(path)]
    assert read == [maker.sample(number) for number in range(70)]
    header = read_header(path)
    assert (header.generator, header.seed, header.split) == (recipe.name, 4, "train")
    assert header.arguments == recipe.arguments() and "held_out" not in header.arguments
    assert header.held_out == recipe.held_out == (("quest",) if recipe.name == "gamecore" else ())
    assert {*header.games[recipe.name]} >= {"game.toml", "rules.md", "observation.md"}
    assert heard[-1] == tally.num_samples == 70 and heard == sorted(heard)
    assert tally.num_blocks == sum(len(sample.blocks) for sample in read)
    assert tally.asks.total() == sum(len(sample.asks) for sample in read)


def test_several_processes_write_the_same_bytes_as_one(tmp_path: Path) -> None:
    recipe = GameCore(seed=1, blocks=(8, 12), asks=2)
    one = write_samples(recipe, 150, tmp_path / "one.gz")
    two = write_samples(recipe, 150, tmp_path / "two.gz", workers=2)
    assert (tmp_path / "one.gz").read_bytes() == (tmp_path / "two.gz").read_bytes()
    assert one.kinds() == two.kinds()


def test_an_answer_counts_wherever_it_is_right() -> None:
    tally, parts = Tally(), [Tally(), Tally()]
    for number, (target, also) in enumerate([("a", ("b",)), ("b", ()), ("c", ("b", "a")), ("d", ())]):
        ask = Ask("?", target, target, "decision", ("a", "b", "c", "d"), 0.5, also)
        parts[number % 2].add(Sample("toy", "toy", "test", 0, "", (), (ask,)))
    for part in parts:
        tally.join(part)
    assert tally.kinds()["decision"]["constant_answer"] == "b"
    assert tally.kinds()["decision"]["best_constant"] == 3 / 4


def test_chance_in_a_sample_depends_on_recipe_and_number() -> None:
    recipes = [GameCore(), GameCore(seed=1), GameCore(split="test"), GameCore(asks=3), Passages()]
    drawn = {random_of(recipe, number).random() for recipe in recipes for number in range(3)}
    assert len(drawn) == 15 and random_of(GameCore(), 2).random() in drawn


def test_the_folders_are_games_that_others_find_too() -> None:
    assert {*find_games([FOLDERS])} >= {"gamecore", "passages", "demonstrations"}
    for name in ("gamecore", "passages", "demonstrations"):
        assert game_of(name).warnings == ()


# What a machine that only generates and trains need not have; torch is left out to see that no generator waits for it.
_WITHOUT = """
import sys
from importlib.abc import MetaPathFinder
class Lacking(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in sys.argv[2:]:
            raise ImportError(name)
sys.meta_path.insert(0, Lacking())
from pathlib import Path
from agent_runtime.tuning.data.demonstrations import Demonstrations
from agent_runtime.tuning.data.gamecore import GameCore
from agent_runtime.tuning.data.generating import write_samples
from agent_runtime.tuning.data.passages import Passages
for recipe in (GameCore(), Passages(), Demonstrations()):
    write_samples(recipe, 2, Path(sys.argv[1]) / recipe.name)
"""


def test_generating_needs_nothing_but_jinja(tmp_path: Path) -> None:
    lacking = (
        "jsonpatch",
        "pydantic",
        "websockets",
        "sqlalchemy",
        "typer",
        "rich",
        "pettingzoo",
        "torch",
        "transformers",
    )
    ran = subprocess.run([sys.executable, "-c", _WITHOUT, str(tmp_path), *lacking], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert {file.name for file in tmp_path.iterdir()} == {"gamecore", "passages", "demonstrations"}
