"""agent_runtime.tuning.rows: every token of a row sees and stands as the spans say that the engine would compute."""

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_runtime.engine.positions import Positions
from agent_runtime.engine.span import NOTHING
from agent_runtime.tuning.errors import NotTrainable
from agent_runtime.tuning.rows import IGNORED, TRAINED_MODES, TokenAsk, TokenSample, row_of, spans_of
from agent_runtime.turn import Mode

IDS = st.lists(st.integers(0, 500), min_size=1, max_size=5).map(tuple)
ASKS = st.builds(TokenAsk, IDS, IDS, st.integers(-1, 2))
SAMPLES = st.builds(
    TokenSample, st.lists(IDS, min_size=1, max_size=6).map(tuple), st.lists(ASKS, max_size=4).map(tuple)
)


def token_by_token(sample: TokenSample, mode: Mode, positions: Positions) -> dict[str, list[int]]:
    """The columns of a row, written down one token after another."""
    static, asked = spans_of(sample, mode, positions)
    names = (
        "ids",
        "place",
        "local",
        "own_from",
        "seen_from",
        "seen_to",
        "is_anchor",
        "label",
        "document",
        "ask",
        "decision",
    )
    row: dict[str, list[int]] = {name: [] for name in names}
    for number, span in enumerate([*static, *asked], -len(static)):
        begin = len(row["ids"])
        ask = sample.asks[number] if number >= 0 else None
        slots = [int(slot) for slot in span.view.slots]
        for index, token in enumerate(span.ids):
            behind = index - (0 if ask is None else len(ask.observation) - 1)
            values = {
                "ids": token,
                "local": span.start + index,
                "place": span.start + index,
                "own_from": begin,
                "seen_from": slots[0] if slots else 0,
                "seen_to": slots[-1] + 1 if slots else 0,
                "is_anchor": int(begin + index < len(sample.blocks[0])),
                "label": ask.answer[behind] if ask is not None and behind >= 0 else IGNORED,
                "document": 0,
                "ask": max(number, -1),
                "decision": -1 if ask is None else ask.decision,
            }
            for name, value in values.items():
                row[name].append(value)
    for span in [*static, *asked]:
        for slot, shift in zip(span.view.slots, span.view.shifts, strict=True):
            row["place"][slot] = row["local"][slot] + int(shift)
    return row


@settings(max_examples=80, deadline=None)
@given(SAMPLES, st.sampled_from(TRAINED_MODES), st.sampled_from(Positions))
def test_a_row_is_what_its_spans_are_token_by_token(sample: TokenSample, mode: Mode, positions: Positions) -> None:
    row = row_of(sample, mode, positions)
    for name, column in token_by_token(sample, mode, positions).items():
        assert getattr(row, name).dtype == numpy.int64
        assert getattr(row, name).tolist() == column, name


@pytest.mark.parametrize("mode", TRAINED_MODES)
def test_spans_that_see_the_same_share_their_view(mode: Mode) -> None:
    asks = tuple(TokenAsk((9, number), (8,)) for number in range(3))
    static, asked = spans_of(TokenSample(((1, 2), (3,), (4, 5), (6,)), asks), mode)
    assert len({id(span.view) for span in asked}) == 1
    assert static[0].view is NOTHING and len({id(span.view) for span in static[1:]}) <= 1


def test_prefix_is_not_trained_for() -> None:
    with pytest.raises(NotTrainable, match="prefix"):
        row_of(TokenSample(((1,),), ()), Mode.PREFIX)
