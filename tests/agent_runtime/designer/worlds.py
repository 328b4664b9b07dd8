"""Games and frames that the tests of this room share; tokens are counted in words of four characters."""

import copy
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent_runtime.designer.advice import Advice, Advices
from agent_runtime.designer.adviser import advise
from agent_runtime.designer.course import Course
from agent_runtime.designer.following import follow
from agent_runtime.designer.frames import read_frames
from agent_runtime.designer.report import PromptsReport
from agent_runtime.designer.tokens import TokenCounter
from agent_runtime.turn import Json
from prompts import load_game
from tests.prompts.worlds import count_words, some_units, write_game

FRAMES = 41
LONG = "The keep has stood for three hundred years and has been taken twice, both times by treason. " * 2


def counter(context: int | None = None) -> TokenCounter:
    return TokenCounter("words", count_words, count_words, count_words, count_words, context)


def write_states(folder: Path, states: Sequence[Json]) -> Path:
    file = folder / "states.jsonl"
    file.write_text("".join(f"{json.dumps(state)}\n" for state in states), encoding="utf-8")
    return file


def course_of(
    folder: Path,
    toml: str,
    states: Sequence[Json],
    files: dict[str, str] | None = None,
    sight: Sequence[str] = (),
    context: int | None = None,
) -> Course:
    """Follow states under a game with these rules."""
    game = load_game(write_game(folder, toml, files))
    return follow(game, read_frames(write_states(folder, states)), counter(context), sight)


def advice_on(course: Course) -> dict[str, list[Advice]]:
    """The advice on a course, by kind."""
    found: dict[str, list[Advice]] = {}
    for advice in all_advice(course).pieces:
        found.setdefault(advice.kind, []).append(advice)
    return found


def all_advice(course: Course) -> Advices:
    return advise(course, counter(None if course.beyond is None else 1))


def report_on(course: Course) -> PromptsReport:
    return PromptsReport(course, all_advice(course), counter())


def moving_units(num_frames: int = FRAMES) -> list[Any]:
    generator, units, states = random.Random(1), some_units(6), []
    for number in range(num_frames):
        units[generator.randrange(6)]["hp"] = 100 + number
        states.append(copy.deepcopy({"units": units, "tiles": {f"t{n}": LONG for n in range(4)}}))
    return states


def written_into(course_folder: Path, toml: str) -> None:
    """Do what an advice says: add its tables to game.toml."""
    file = course_folder / "game.toml"
    file.write_text(file.read_text("utf-8") + "\n" + toml, encoding="utf-8")


def only(pieces: list[Advice]) -> Advice:
    (piece,) = pieces
    return piece
