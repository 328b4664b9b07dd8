"""Views and spans."""

from hypothesis import given
from hypothesis import strategies as st

from agent_runtime.engine.positions import Positions
from agent_runtime.engine.runs import Run
from agent_runtime.engine.span import NOTHING, Placed, View, exchanged, view_of_blocks


def test_a_view_that_goes_on_knows_what_one_made_at_once_finds_out() -> None:
    pieces = [Placed(Run(((7, 3),), 3), 0), Placed(Run(((20, 2), (1, 4)), 6), 3), Placed(Run((), 0), 9)]
    for count in range(1, 4):
        grown = NOTHING
        for piece in pieces[:count]:
            grown = grown.followed_by(piece)
        made = View(tuple(pieces[:count]))
        assert grown.pieces == made.pieces and grown.length == made.length == grown.behind
        for name in ("table", "slots", "shifts"):
            assert getattr(grown, name).tolist() == getattr(made, name).tolist()


def test_a_view_of_blocks_that_goes_on_is_no_longer_one() -> None:
    view = View((Placed(Run(((0, 3),), 3), 4),), end=7)
    grown = view.followed_by(Placed(Run(((5, 1),), 1), 0))
    assert view.is_of_blocks and not grown.is_of_blocks


@st.composite
def run(draw: st.DrawFn) -> Run:
    """A run of a few lengths, in one piece as a rule; no two lie at one place."""
    parts = draw(st.lists(st.sampled_from([3, 3, 3, 5, 0]), min_size=1, max_size=draw(st.sampled_from([1, 1, 1, 2]))))
    extents = tuple((draw(st.integers(0, 10**6)), part) for part in parts if part)
    return Run(extents, sum(parts))


@given(st.data(), st.sampled_from(Positions), st.booleans(), st.booleans())
def test_a_view_in_which_runs_were_exchanged_is_what_it_is_made_at_once(
    data: st.DataObject, positions: Positions, anchored: bool, is_found_out: bool
) -> None:
    runs = data.draw(st.lists(run(), min_size=1, max_size=8))
    view = view_of_blocks(runs, anchored=anchored, positions=positions)
    for _ in range(3):
        places = data.draw(st.lists(st.integers(0, len(runs) - 1), unique=True, max_size=8))
        others = {place: data.draw(run()) for place in sorted(places)}
        if is_found_out:
            assert len(view.extents) == sum(len(each.extents) for each in runs)
        runs = [others.get(place, each) for place, each in enumerate(runs)]
        expected = view_of_blocks(runs, anchored=anchored, positions=positions)
        found = exchanged(view, others, positions)
        if found is None:
            assert 0 in others or positions is not Positions.SEQUENTIAL
            found = expected
        assert (found.pieces, found.end, found.length) == (expected.pieces, expected.end, expected.length)
        for each in ("lengths", "extents", "table"):
            assert getattr(found, each).tolist() == getattr(expected, each).tolist(), each
        view = found


def test_what_was_found_out_about_a_view_is_not_changed_with_it() -> None:
    view = view_of_blocks([Run(((place * 10, 3),), 3) for place in range(3)], anchored=False)
    before = view.extents.tolist(), view.lengths.tolist()
    other = exchanged(view, {1: Run(((90, 5),), 5)}, Positions.SEQUENTIAL)
    assert other is not None and "extents" in vars(other)
    assert (view.extents.tolist(), view.lengths.tolist()) == before
    assert other.pieces[0] is view.pieces[0] and other.pieces[2] == (view.pieces[2].run, 8)
