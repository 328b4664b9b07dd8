"""Models and modes in the same matches: what is paired, over which matches, and what never is."""

from typing import Any

import pytest

from agent_runtime.tuning.evaluating.comparing import compare
from tests.agent_runtime.tuning.evaluating.reported import game_of, report_of

BEFORE = {"full": [-1.0, 0.0, -1.0, 1.0] * 3, "star": [-1.0, -1.0, -1.0, 1.0] * 3}
AFTER = {"full": [1.0, 1.0, -1.0, 1.0] * 3, "star": [1.0, 0.0, -2.0, 1.0] * 3}
MODES = ["full", "star"]


def models(**said: Any) -> dict[str, dict[str, Any]]:
    return {
        "untuned": report_of(conditions=MODES, games=[game_of(BEFORE)]),
        "tuned": report_of(conditions=MODES, weights="w2", games=[game_of(AFTER, **said)]),
    }


def test_models_and_modes_are_compared_match_by_match() -> None:
    [line] = compare(models())["games"]
    assert [*line["players"]] == ["untuned full", "untuned star", "tuned full", "tuned star"]
    gained = [after - before for after, before in zip(AFTER["star"], BEFORE["full"], strict=True)]
    found = line["differences"]["tuned star - untuned full"]
    assert found["reward"]["mean"] == pytest.approx(sum(gained) / 12, abs=1e-5)
    assert (found["score"]["items"], found["score"]["samples"]) == (12, 6), "a cluster is a seed, of two seats"
    low, high = found["score"]["interval"]
    assert found["score"]["points"] == pytest.approx(100 * (2.5 - 1.5) / 4) and low < 25 < high


def test_a_mode_is_compared_with_full_mode_of_its_own_model() -> None:
    report = models()["tuned"]
    [line] = compare({"tuned": report})["games"]
    cost = report["games"][0]["cost"]["star"]["score"]
    found = line["differences"]["star - full"]["score"]
    assert found["points"] == -cost["points"] and found["interval"] == [-end for end in cost["interval"][::-1]]
    assert line["above"]["star"]["random"] == report["games"][0]["above"]["star"]["random"]
    [line] = compare(models(), [":full"])["games"]
    assert [*line["differences"]] == ["untuned star - untuned full", "tuned star - tuned full"]


def test_who_has_played_more_is_compared_over_the_matches_of_both() -> None:
    more = {name: [*rewards, *rewards] for name, rewards in AFTER.items()}
    both = {**models(), "tuned": report_of(conditions=MODES, weights="w2", games=[game_of(more)])}
    [line] = compare(both)["games"]
    assert line["matches"] == 24 and line["players"]["untuned full"]["matches"] == 12
    assert line["differences"]["tuned full - untuned full"]["score"]["items"] == 12
    assert line["above"]["untuned star"]["random"]["score"]["items"] == 12


@pytest.mark.parametrize(
    "said",
    [{"options": {"hands": 2}}, {"opponent": "expert"}, {"wander": 0.2}, {"measure": "reward"}, {"seats": ["a"]}],
)
def test_other_contests_have_lines_of_their_own(said: dict[str, Any]) -> None:
    first, second = compare(models(**said))["games"]
    assert {*first["players"]} == {"untuned full", "untuned star"}
    assert {*second["players"]} == {"tuned full", "tuned star"}
    assert [*first["differences"]] == ["untuned star - untuned full"] and second["differences"] == {}


def test_where_chance_has_not_gained_the_same_the_matches_were_others() -> None:
    changed = {**AFTER, "random": [1.0, 0.0] * 6}
    both = {**models(), "tuned": report_of(conditions=MODES, weights="w2", games=[game_of(changed)])}
    assert len(compare(both)["games"]) == 2
    with_alike = {**both, "third": report_of(conditions=MODES, weights="w3", games=[game_of(AFTER)])}
    assert [len(line["players"]) for line in compare(with_alike)["games"]] == [4, 2]


def test_models_without_games_have_none() -> None:
    assert compare({"a": report_of(conditions=["full"])})["games"] == []
