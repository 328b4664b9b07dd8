import json

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompts.errors import StateError
from prompts.json_text import canonical, fingerprint, label_text, lasting_fingerprint, path_text, writable
from tests.prompts.worlds import Json, json_values, shuffled


@given(json_values)
def test_canonical_json_is_lossless_and_one_line(value: Json) -> None:
    text = canonical(value)
    assert repr(json.loads(text)) == repr(shuffled_to_sorted(value))
    assert "\n" not in text


def shuffled_to_sorted(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: shuffled_to_sorted(value[key]) for key in sorted(value)}
    return [shuffled_to_sorted(member) for member in value] if isinstance(value, list) else value


@given(json_values, st.integers())
def test_the_order_of_members_makes_no_difference(value: Json, seed: int) -> None:
    assert canonical(shuffled(value, seed)) == canonical(value)


@given(json_values, json_values)
def test_equal_fingerprints_mean_equal_json(one: Json, other: Json) -> None:
    assert lasting_fingerprint(one) == fingerprint(json.loads(json.dumps(one))) is not None
    assert (fingerprint(one) != fingerprint(other)) or (canonical(one) == canonical(other))


@pytest.mark.parametrize(("one", "other"), [(1, True), (1, 1.0), (0.0, -0.0), ("1", 1), (None, False), ([], {})])
def test_fingerprints_tell_apart_what_python_calls_equal(one: Json, other: Json) -> None:
    assert fingerprint([one]) != fingerprint([other])


def test_what_is_no_plain_value_has_no_fingerprint_that_lasts() -> None:
    class Name(str):
        pass

    number = numpy.float64(2.0)
    assert canonical(number) == "2.0" and fingerprint(number) == fingerprint(number.tobytes())
    assert lasting_fingerprint([number]) is lasting_fingerprint({"a": Name("a")}) is None


def test_numbers_keep_their_kind_and_all_their_digits() -> None:
    assert canonical([1, 1.0, True, 10**40, -0.0, 0.1]) == f"[1,1.0,true,{10**40},-0.0,0.1]"


def test_letters_are_kept_and_lone_surrogates_are_escaped() -> None:
    assert canonical("é水😀") == '"é水😀"'
    assert canonical("\ud800") == '"\\ud800"'
    assert json.loads(canonical({"\udfff": "\ud800"})) == {"\udfff": "\ud800"}
    assert writable("a\ud800") == "a\\ud800"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [float("-inf")], {"a": object()}, {("a",): 1}, {1, 2}])
def test_what_json_has_no_words_for_is_refused_with_its_place(value: Json) -> None:
    with pytest.raises(StateError, match="/units/p") as caught:
        canonical(value, ("units", "p"))
    assert caught.value.path == "/units/p"


def test_endless_nesting_is_refused() -> None:
    value: list[Json] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(StateError, match="too deep"):
        canonical(value)


@given(st.text(), st.text())
def test_labels_stay_different_and_on_one_line(one: str, other: str) -> None:
    assert (label_text(one) == label_text(other)) == (one == other)
    assert len(label_text(one).splitlines()) <= 1
    assert "/" not in label_text(one)


def test_paths_are_json_pointers_and_the_root_has_a_name() -> None:
    assert path_text(("units", "x/y~", "a\nb", "")) == "/units/x~1y~0/a\\nb/"
    assert path_text(()) == "(state)"
