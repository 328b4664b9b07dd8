import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompts import apply_patch
from prompts.errors import PatternError, StateError
from prompts.pattern import parse_pattern
from prompts.sight import HIDDEN, Sight
from tests.prompts.test_pattern import matches
from tests.prompts.worlds import Json, worlds

STATE = {
    "units": [{"id": "p", "pos": [1, 2], "plan": "attack"}, {"id": "q", "pos": [3, 4], "plan": "flee"}],
    "cards": {"me": ["As"], "you": ["Kd"]},
}

sights = st.lists(
    st.sampled_from(
        ["/units", "!/units", "/units/*/pos", "!/**/id", "!/a", "/a/*/b", "/**/log", "!/units/0", "/*", "!"]
    ),
    max_size=4,
)


def seen(state: Json, *patterns: str) -> Json:
    return Sight(patterns).see(state, same_objects=False)


def spelled_out(state: Json, patterns: list[str], path: tuple[str, ...] = (), inherited: bool | None = None) -> Json:
    """The meaning of a sight, leaf by leaf, without an automaton."""
    shown = not patterns or patterns[0].startswith("!")
    for pattern in patterns:
        parsed = parse_pattern(pattern.removeprefix("!"))
        if any(matches(parsed, path[:length]) for length in range(len(path) + 1)):
            shown = not pattern.startswith("!")
    if isinstance(state, dict):
        members = {key: spelled_out(value, patterns, (*path, key)) for key, value in state.items()}
        kept: Json = {key: value for key, value in members.items() if value is not HIDDEN}
    elif isinstance(state, list):
        inner = [spelled_out(value, patterns, (*path, str(index))) for index, value in enumerate(state)]
        kept = [value for value in inner if value is not HIDDEN]
    else:
        return state if shown else HIDDEN
    return kept if kept or shown else HIDDEN


def test_an_empty_sight_shows_the_very_state() -> None:
    assert seen(STATE) is STATE


def test_allowing_one_member_shows_just_that() -> None:
    assert seen(STATE, "/units/*/pos") == {"units": [{"pos": [1, 2]}, {"pos": [3, 4]}]}


def test_an_exclusion_takes_out_what_an_earlier_pattern_allowed_and_a_later_one_brings_back_a_part() -> None:
    assert seen(STATE, "/cards", "!/cards/*", "/cards/me") == {"cards": {"me": ["As"]}}


def test_a_sight_that_begins_with_an_exclusion_shows_everything_else() -> None:
    assert seen(STATE, "!/units", "!/cards/you") == {"cards": {"me": ["As"]}}


def test_a_later_wide_pattern_wins_over_an_earlier_narrow_one() -> None:
    assert seen(STATE, "/cards/me", "!/cards") is HIDDEN


def test_a_hidden_member_of_an_array_leaves_no_gap() -> None:
    assert seen(STATE, "!/units/0")["units"] == [STATE["units"][1]]


def test_a_container_of_which_nothing_is_seen_is_not_seen_unless_it_is_allowed_itself() -> None:
    assert seen({"a": {"b": 1}}, "/a/c") is HIDDEN
    assert seen({"a": {"b": 1}}, "/a", "!/a/b") == {"a": {}}


@given(worlds, sights)
def test_what_is_seen_is_what_the_patterns_say_leaf_by_leaf(state: Json, patterns: list[str]) -> None:
    assert repr(seen(state, *patterns)) == repr(spelled_out(state, patterns))


@given(st.lists(worlds, min_size=1, max_size=4), sights)
def test_looking_again_at_states_that_share_objects_sees_the_same_as_a_first_look(
    states: list[Json], patterns: list[str]
) -> None:
    sight = Sight(patterns)
    shared = {"a": states[0], "units": states, "b": 1}
    for state in (shared, {**shared, "b": states[-1]}, {**shared, "units": states[1:] + states[:1]}):
        assert repr(sight.see(state, same_objects=True)) == repr(seen(copy.deepcopy(state), *patterns))


def test_what_a_patch_did_not_touch_comes_out_as_the_same_object() -> None:
    sight = Sight(["!/units/*/plan"])
    first = sight.see(STATE, same_objects=True)
    patched = apply_patch(STATE, [{"op": "add", "path": "/units/0", "value": {"id": "n", "plan": "hide"}}])
    second = sight.see(patched, same_objects=True)
    assert second["units"][0] == {"id": "n"}
    assert second["units"][1] is first["units"][0]
    assert second["cards"] is STATE["cards"]


def test_a_whole_state_is_looked_at_anew_even_if_it_is_the_same_object() -> None:
    sight, state = Sight(["!/b"]), {"a": {"x": 1}, "b": 2}
    sight.see(state, same_objects=False)
    state["a"] = {"x": 3}
    assert sight.see(state, same_objects=False) == {"a": {"x": 3}}


def test_a_pattern_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(PatternError):
        Sight(["!units"])


def test_endless_nesting_is_refused() -> None:
    value: Json = {"secret": 1}
    for _ in range(100_000):
        value = {"a": value}
    with pytest.raises(StateError, match="too deep"):
        seen(value, "!/**/secret")
