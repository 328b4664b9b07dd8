import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompts.errors import PatternError
from prompts.pattern import Pattern, PatternSet, Wild, parse_pattern, places_of_wildcards


def matches(pattern: Pattern, path: tuple[str, ...]) -> bool:
    """The meaning of a pattern, spelled out without an automaton."""
    if not pattern:
        return not path
    if pattern[0] is Wild.ANY:
        return matches(pattern[1:], path) or (bool(path) and matches(pattern, path[1:]))
    return bool(path) and pattern[0] in (Wild.ONE, path[0]) and matches(pattern[1:], path[1:])


patterns = st.lists(st.sampled_from(["a", "b", "0", Wild.ONE, Wild.ANY]), max_size=5).map(tuple)
paths = st.lists(st.sampled_from(["a", "b", "0", "c"]), max_size=5).map(tuple)


@given(st.lists(patterns, max_size=5), paths)
def test_the_automaton_agrees_with_the_meaning_of_each_pattern(several: list[Pattern], path: tuple[str, ...]) -> None:
    state = PatternSet(several).start
    for step in path:
        state = state.step(step)
    assert state.matches == tuple(index for index, pattern in enumerate(several) if matches(pattern, path))


@given(st.lists(patterns, max_size=5), paths, paths.filter(bool))
def test_a_pattern_that_matches_further_down_is_known_to_be_possible_there(
    several: list[Pattern], path: tuple[str, ...], rest: tuple[str, ...]
) -> None:
    state = PatternSet(several).start
    for step in path:
        state = state.step(step)
    assert {index for index, pattern in enumerate(several) if matches(pattern, path + rest)} <= set(state.below)


def test_states_are_shared_between_paths_that_differ_only_in_names_nobody_spells() -> None:
    start = PatternSet([parse_pattern("/units/*/pos")]).start
    assert start.step("units").step("p") is start.step("units").step("q")
    assert start.step("units").same_for_all is start.step("units").step("p")
    assert start.same_for_all is None


def test_escapes_are_those_of_json_pointer() -> None:
    assert parse_pattern("/a~1b/~0/~01") == ("a/b", "~", "~1")
    assert parse_pattern("") == ()
    assert parse_pattern("/") == ("",)


def test_stars_are_wild_only_as_whole_steps() -> None:
    assert parse_pattern("/*/**/x*") == (Wild.ONE, Wild.ANY, "x*")


@pytest.mark.parametrize("text", ["units", "/a~2", "/a~"])
def test_a_pattern_that_is_no_pointer_is_refused(text: str) -> None:
    with pytest.raises(PatternError, match="cannot be read") as caught:
        parse_pattern(text)
    assert caught.value.pattern == text


def test_a_star_has_a_place_from_the_front_or_from_behind_but_not_between_two_double_stars() -> None:
    assert places_of_wildcards(parse_pattern("/a/*/b/*")) == [1, 3]
    assert places_of_wildcards(parse_pattern("/*/**/doors/*")) == [0, -1]
    assert places_of_wildcards(parse_pattern("/**/*/**")) == [None]
