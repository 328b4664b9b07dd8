"""Cases by name, in the sizes that are asked for."""

from typing import Any

import pytest

from agent_runtime.engine.bench.cases import chosen
from agent_runtime.engine.bench.errors import BadOption
from agent_runtime.engine.bench.setting import Sizes


def test_a_case_has_the_sizes_that_are_given_and_small_ones_on_a_cpu() -> None:
    given: Any = chosen("capacity:", {"sessions": "3"})[0]
    assert (given.sessions, given.num_regions) == (3, 100)
    small: Any = chosen("capacity:", {"sessions": "3"}, on_cpu=True)[0]
    assert (small.sessions, small.num_regions, small.num_seen) == (3, 10, 8)
    load: Any = chosen("load:", {"hz": "2.5"})[0]
    assert load.hz == 2.5


def test_a_size_of_other_cases_is_refused_rather_than_dropped() -> None:
    with pytest.raises(BadOption, match="no case has a size 'hz': checked, num_regions, num_seen"):
        chosen("capacity:", {"hz": "3"})
    with pytest.raises(BadOption, match="none has any"):
        chosen("nothing static", {"hz": "3"})


@pytest.mark.parametrize("said", ["0", "-1", "inf", "nan", "x"])
def test_sizes_are_numbers_above_zero(said: str) -> None:
    with pytest.raises(BadOption, match="hz has to be a number above zero"):
        chosen("load:", {"hz": said})


def test_a_session_cannot_see_more_regions_than_there_are() -> None:
    with pytest.raises(BadOption, match="give num_regions as many"):
        chosen("throughput:", {"num_regions": "5"})


def test_a_case_says_how_many_positions_it_needs() -> None:
    sizes = Sizes(observation=50, turns=7, max_rows=64, quiet_rows=64)
    found = {case.name.split(":")[0]: case.positions(sizes) for case in chosen("", {})}
    assert found["gamecore, one changed, 16 actions"] == 300 * 85 + 50 + 4
    assert found["throughput"] == 90 * 289 + 50
    assert found["capacity"] == 90 * 289 + 300 + 50
    assert found["load"] == 300 * 85 + 50
    assert found["decode"] == 100 * 260 + 50 + 5 + 7
    assert found["cold start"] == found["transfer"] == 85
