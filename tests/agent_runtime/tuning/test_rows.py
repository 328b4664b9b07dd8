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
ASKS = st.builds(TokenAsk, IDS, st.lists(IDS, min_size=1, max_size=3).map(tuple))
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
        "asked_from",
        "asked_to",
        "is_anchor",
        "label",
        "document",
        "ask",
    )
    row: dict[str, list[int]] = {name: [] for name in names}
    at: dict[int, int] = {}
    for span, ask, answer in [(span, -1, ()) for span in static] + [(a.span, a.ask, a.answer) for a in asked]:
        begin = at[id(span)] = len(row["ids"])
        slots = [int(slot) for slot in span.view.slots]
        for index, token in enumerate(span.ids):
            answered = index - (len(span.ids) - len(answer))
            values = {
                "ids": token,
                "local": span.start + index,
                "place": span.start + index,
                "own_from": begin,
                "seen_from": slots[0] if slots else 0,
                "seen_to": slots[-1] + 1 if slots else 0,
                "asked_from": 0 if span.parent is None else at[id(span.parent)],
                "asked_to": 0 if span.parent is None else at[id(span.parent)] + len(span.parent.ids),
                "is_anchor": int(begin + index < len(sample.blocks[0])),
                "label": answer[answered] if answered >= 0 else IGNORED,
                "document": 0,
                "ask": ask,
            }
            for name, value in values.items():
                row[name].append(value)
    for span in [*static, *(each.span for each in asked)]:
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
    asks = tuple(TokenAsk((9, number), ((8,), (7, 8))[: number + 1]) for number in range(2))
    static, asked = spans_of(TokenSample(((1, 2), (3,), (4, 5), (6,)), asks), mode)
    assert len({id(each.span.view) for each in asked}) == 1
    assert static[0].view is NOTHING and len({id(span.view) for span in static[1:]}) <= 1


@settings(max_examples=40, deadline=None)
@given(IDS, st.lists(IDS, min_size=2, max_size=4).map(tuple), st.sampled_from(TRAINED_MODES))
def test_answers_that_share_a_prompt_stand_as_if_each_had_one_of_its_own(
    observation: tuple[int, ...], answers: tuple[tuple[int, ...], ...], mode: Mode
) -> None:
    blocks = ((1, 2), (3,))
    static, asked = spans_of(TokenSample(blocks, (TokenAsk(observation, answers),)), mode)
    answered = [each for each in asked if each.answer]
    assert [each.answer for each in answered] == list(answers)
    assert sum(len(each.span.ids) for each in asked) == TokenAsk(observation, answers).num_tokens
    for each, answer in zip(answered, answers, strict=True):
        _, [alone] = spans_of(TokenSample(blocks, (TokenAsk(observation, (answer,)),)), mode)
        parent = each.span.parent
        assert ((*parent.ids, *each.span.ids) if parent else each.span.ids) == alone.span.ids
        assert (parent or each.span).start == alone.span.start
        assert parent is None or each.span.start == parent.start + len(parent.ids)


def test_prefix_is_not_trained_for() -> None:
    with pytest.raises(NotTrainable, match="prefix"):
        row_of(TokenSample(((1,),), ()), Mode.PREFIX)
