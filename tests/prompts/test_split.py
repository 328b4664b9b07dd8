from hypothesis import given
from hypothesis import strategies as st

from prompts.split import pack, split_text

units = st.lists(st.sampled_from("abcdefgh"), max_size=40)


@given(units, st.integers(1, 10))
def test_runs_are_all_units_in_order_and_fit(parts: list[str], most: int) -> None:
    runs = pack(parts, lambda first, end: end - first <= most)
    assert [index for first, end in runs for index in range(first, end)] == list(range(len(parts)))
    assert all(end - first <= most for first, end in runs)


@given(st.lists(st.text(min_size=1, max_size=3), min_size=20, max_size=60, unique=True), st.data())
def test_an_inserted_unit_changes_no_more_than_three_full_runs_hold(parts: list[str], data: st.DataObject) -> None:
    new = data.draw(st.text(min_size=4, max_size=4))
    at = data.draw(st.integers(0, len(parts)))

    def runs(parts: list[str]) -> set[tuple[str, ...]]:
        return {tuple(parts[first:end]) for first, end in pack(parts, lambda first, end: end - first <= 6)}

    # The run it falls into, and small ones on either side that may join what is left of it as far as that fits.
    assert sum(map(len, runs(parts) - runs([*parts[:at], new, *parts[at:]]))) <= 3 * 6


def test_a_thousand_equal_units_are_halved_not_peeled() -> None:
    runs = pack(["same"] * 1000, lambda first, end: end - first <= 10)
    assert max(end - first for first, end in runs) <= 10
    assert len(runs) <= 130


def test_nothing_gives_no_runs_and_one_unit_gives_one() -> None:
    assert pack([], lambda first, end: False) == []
    assert pack(["a"], lambda first, end: False) == [(0, 1)]


@given(st.text(alphabet="ab \n", max_size=200), st.integers(1, 30))
def test_pieces_of_a_text_fit_and_join_to_the_text(text: str, most: int) -> None:
    pieces = split_text(text, lambda piece: len(piece) <= most)
    assert "".join(pieces) == text
    assert all(len(piece) <= most for piece in pieces)


def test_a_text_is_cut_between_lines_if_it_can_be_and_between_words_if_not() -> None:
    lines = "one two\n" * 3 + "three four\n"
    assert all(piece.endswith("\n") for piece in split_text(lines, lambda piece: len(piece) <= 20))
    assert split_text("one two", lambda piece: len(piece) <= 4) == ["one", " two"]
    assert "".join(split_text("x" * 1000, lambda piece: len(piece) <= 50)) == "x" * 1000
