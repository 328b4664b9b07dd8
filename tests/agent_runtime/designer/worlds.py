"""Games and frames that the tests of this room share; tokens are counted in words of four characters."""

import json
from collections.abc import Sequence
from pathlib import Path

from agent_runtime.designer.advice import Advice, Advices, advise
from agent_runtime.designer.course import Course, follow
from agent_runtime.designer.frames import read_frames
from agent_runtime.designer.report import PromptsReport
from agent_runtime.designer.tokens import TokenCounter
from agent_runtime.turn import Json
from prompts import load_game
from tests.prompts.worlds import count_words, write_game


def counter(context: int | None = None) -> TokenCounter:
    return TokenCounter("words", count_words, count_words, count_words, context)


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
