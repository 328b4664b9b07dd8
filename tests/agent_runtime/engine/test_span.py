"""Views and spans."""

from agent_runtime.engine.pool import Run
from agent_runtime.engine.span import NOTHING, Placed, View


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
