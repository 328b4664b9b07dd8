"""agent_runtime.designer.reckoning: the tokens of a turn at every frame, counted by hand."""

from pathlib import Path

from agent_runtime.designer.reckoning import costs_under
from tests.agent_runtime.designer.worlds import counter, course_of
from tests.prompts.worlds import UNITS, count_words, live

A, B = {"id": "a", "hp": 1}, {"id": "b", "hp": 2}


def text_tokens(*texts: str) -> int:
    return sum(count_words(text) for text in texts)


ANCHOR, EMPTY = text_tokens("Be kind.\n"), text_tokens("\n")
UNIT = text_tokens('/units/a\n{"hp":1,"id":"a"}\n')


def test_what_a_turn_computes_is_the_new_texts_or_what_stands_behind_the_first_new_one(tmp_path: Path) -> None:
    first, other = {"units": [A, B]}, {"units": [{**A, "hp": 9}, B]}
    course = course_of(tmp_path, UNITS, [first, other, first])
    costs = [(frame.blocks_mode, frame.prefix_mode) for frame in course.frames]
    whole = ANCHOR + 2 * UNIT + EMPTY
    # The third frame is as the first one was: its texts are kept, and so is its beginning.
    assert costs == [(whole, whole), (UNIT + EMPTY, 2 * UNIT + EMPTY), (EMPTY, EMPTY)]
    assert [frame.prompt for frame in course.frames] == [whole] * 3
    assert (course.costs.blocks_mode, course.costs.prefix_mode) == ((UNIT + 2 * EMPTY) / 2, (2 * UNIT + 2 * EMPTY) / 2)


def test_the_live_part_is_counted_in_the_observation_of_every_frame(tmp_path: Path) -> None:
    course = course_of(tmp_path, UNITS + live("/clock"), [{"units": [A], "clock": n} for n in (1, 2)])
    observation = text_tokens('Now: {"clock":1}\n')
    assert [frame.observation for frame in course.frames] == [observation] * 2
    assert course.frames[1].blocks_mode == course.frames[1].prefix_mode == observation


def test_a_trial_costs_what_a_course_does(tmp_path: Path) -> None:
    course = course_of(tmp_path, UNITS, [{"units": [{**A, "hp": n}, B]} for n in range(5)])
    assert costs_under(course.game, course.file, counter()) == course.costs
