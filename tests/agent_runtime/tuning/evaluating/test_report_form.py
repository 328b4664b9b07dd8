"""Whatever is wrong with a report is said when it is read: what is compared afterwards is what it seems to be."""

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_runtime.tuning.errors import TuningError
from agent_runtime.tuning.evaluating.comparing import compare
from agent_runtime.tuning.evaluating.comparison_tables import as_markdown
from agent_runtime.tuning.evaluating.report_form import check_form
from agent_runtime.tuning.evaluating.reports import read_report
from agent_runtime.tuning.evaluating.uniting import united
from tests.agent_runtime.tuning.evaluating.reported import file_of, game_of, report_of

ITEMS = {"one": [2, 1, 0], "two": [1, 1, 2]}
RIGHT = {"full": ITEMS, "star": {"one": [1, 1, 0], "two": [0, 1, 1]}}
GAME = game_of({"full": [1.0, 1.0, -1.0, 1.0] * 3, "star": [1.0, 0.0, -2.0, 1.0] * 3}, wander=0.0)
TEXT = {
    "file": "held-out",
    "conversations": 9,
    "tokens": 90,
    "perplexity": {"mean": 25.0, "interval": [20.0, 30.0]},
}
WHOLE = report_of(
    file_of("a.jsonl", ITEMS, RIGHT),
    file_of("b.jsonl", ITEMS, RIGHT, blocks=[16, 16]),
    games=[GAME],
    texts=[TEXT],
)


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in below:
        yield (*place, key)
        yield from places(each, (*place, key))


@settings(deadline=None)
@given(
    place=st.sampled_from([*places(WHOLE)]),
    value=st.sampled_from([None, 0, -1, "x", "", [], {}, [[]], float("inf"), True, ["a"], {"a": 1}]),
)
def test_a_report_with_something_else_in_some_place_is_refused_or_compared(
    tmp_path_factory: pytest.TempPathFactory, place: tuple[Any, ...], value: Any
) -> None:
    report = deepcopy(WHOLE)
    within: Any = report
    for key in place[:-1]:
        within = within[key]
    within[place[-1]] = value
    folder = tmp_path_factory.mktemp("reports")
    paths = [folder / "whole.json", folder / "changed.json"]
    for path, content in zip(paths, (WHOLE, report), strict=True):
        path.write_text(json.dumps(content))
    try:
        whole, changed = map(read_report, paths)
    except TuningError as error:
        assert str(folder / "changed.json") in str(error)
        return
    for models in ({"a": [changed]}, {"a": [whole], "b": [changed]}, {"a": [whole, changed]}):
        try:
            as_markdown(compare({name: united(name, parts) for name, parts in models.items()}))
        except TuningError as error:
            assert "cannot both be" in str(error)


def test_only_a_few_of_the_things_that_are_wrong_are_said() -> None:
    with pytest.raises(ValueError, match="^it lacks 'environment'; it lacks 'conditions'; it lacks 'files'$"):
        check_form({"games": [{}], "texts": [{}]})


def test_a_contest_says_who_plays_at_random_and_what_all_have_gained() -> None:
    with pytest.raises(ValueError, match=r"games\.0: leduc lacks best constant, random"):
        check_form(WHOLE | {"games": [GAME | {"players": {"full": GAME["players"]["full"]}}]})
    with pytest.raises(ValueError, match=r"it lacks 'games\.0\.rewards'"):
        check_form(WHOLE | {"games": [{name: value for name, value in GAME.items() if name != "rewards"}]})
