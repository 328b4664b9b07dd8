"""Short observations of many sessions in one call compute what each computes alone."""

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_runtime.engine import batches
from agent_runtime.engine.attention import MOVE_QUERIES
from agent_runtime.engine.gathered import GatheredViews
from agent_runtime.engine.layout import lay_out
from agent_runtime.engine.span import Span
from agent_runtime.engine.step import Step, make_step
from tests.agent_runtime.engine.worlds import World, encode, random_ids, view_of, world

SIZES = st.lists(st.tuples(st.lists(st.integers(1, 40), min_size=1, max_size=4), st.integers(1, 12)), max_size=9)


def step_of(w: World, spans: list[Span]) -> Step:
    none = GatheredViews(w.pool.geometry, 0)
    return make_step(lay_out(spans), w.pool, w.runner.rope, torch.device("cpu"), torch.float32, gathered=none)


def turns(
    w: World, sizes: list[tuple[list[int], int]], rng: numpy.random.Generator, anchored: bool
) -> list[list[Span]]:
    """For every session an observation behind blocks of its own, and two answers behind that."""
    made = []
    for lengths, rows in sizes:
        runs, spans = encode(w, [random_ids(rng, length) for length in lengths], anchored=anchored)
        w.runner.run(spans)
        view = view_of(runs, anchored=anchored)
        asked = Span(random_ids(rng, rows), view.length, view, wanted="all")
        answers = [
            Span(random_ids(rng, length), view.length + rows, view, parent=asked, wanted="last") for length in (1, 3)
        ]
        made.append([asked, *answers])
    return made


@given(SIZES, st.booleans(), st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_together_equals_each_alone_and_the_other_way(
    sizes: list[tuple[list[int], int]], anchored: bool, random
) -> None:  # type: ignore[no-untyped-def]
    rng = numpy.random.default_rng(random.randrange(2**32))
    w = world()
    sessions = turns(w, sizes, rng, anchored)
    together = [span for spans in sessions for span in spans]
    random.shuffle(sessions)
    alone = {span: logits for spans in sessions for span, logits in w.runner.run(spans).items()}
    if not together:
        return
    packed = w.runner.run(together)
    w.runner.model.set_attn_implementation(MOVE_QUERIES)
    reference = w.runner.run(together)
    for span in together:
        assert torch.allclose(packed[span], alone[span], atol=1e-5, rtol=1e-4)
        assert torch.allclose(packed[span], reference[span], atol=1e-4, rtol=1e-3)


def test_turns_of_about_one_size_share_a_call_and_each_row_lies_in_one() -> None:
    w, rng = world(), numpy.random.default_rng(0)
    spans = [span for turn in turns(w, [([20, 9], 5)] * 6 + [([200, 300], 5)] * 3, rng, False) for span in turn]
    step = step_of(w, spans)
    assert [batch.mask_BQK.shape[0] for batch in step.batches] == [6, 3] and not step.singles
    rows = torch.cat([batch.result_places for batch in step.batches])
    assert sorted(rows.tolist()) == list(range(step.layout.num_rows))


def test_what_is_large_alone_or_shares_its_view_keeps_a_call_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    w, rng = world(), numpy.random.default_rng(0)
    (one,) = turns(w, [([20], 5)], rng, False)
    assert step_of(w, one).batches == ()
    large = [span for turn in turns(w, [([200], 200)] * 2, rng, False) for span in turn]
    assert step_of(w, large).batches == ()
    runs, spans = encode(w, [random_ids(rng, 20) for _ in range(3)])
    assert step_of(w, spans).batches == ()  # they gather nothing
    monkeypatch.setattr(batches, "_MOST_KEYS", 3 * 34)
    spans = [span for turn in turns(w, [([20], 10)] * 7, rng, False) for span in turn]
    assert [batch.mask_BQK.shape[0] for batch in step_of(w, spans).batches] == [3, 3]
