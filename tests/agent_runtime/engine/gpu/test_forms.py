"""Who is attended together, and which rows see which: numbers alone, the same for all forwards asked alike."""

import random

import numpy
import torch
from hypothesis import given
from hypothesis import strategies as st

from agent_runtime.engine.gpu.forms import Form, form_of, name_of, views_of
from agent_runtime.engine.gpu.tiling import tiling_of
from agent_runtime.engine.gpu.work_list import Shape
from agent_runtime.engine.layout import groups_of, lay_out, visible
from agent_runtime.engine.runs import Run
from agent_runtime.engine.span import NOTHING, Placed, Span, view_of_blocks

SHAPE = Shape(4, 8, 131_072, tiling_of(torch.bfloat16, 128), 132)


def asked(seed: int, first_slot: int) -> list[Span]:
    """Return spans that descend from each other and see views of blocks; `first_slot` is where those lie."""
    rng, said = random.Random(seed), random.Random(first_slot)
    spans: list[Span] = []
    for _ in range(rng.randint(1, 4)):
        length = rng.choice((0, 3, 40, 400))
        view = view_of_blocks([Run(((first_slot, length),), length)], anchored=False) if length else NOTHING
        if rng.random() < 0.5:
            view = view.followed_by(Placed(Run(((first_slot + 1000, 5),), 5), 0))
        family: list[Span] = []
        for _ in range(rng.randint(1, 7)):
            ids = [said.randint(0, 99) for _ in range(rng.choice((1, 2, 30, 90)))]
            parent = rng.choice([None, *family])
            family.append(Span(ids, view.behind + said.randint(0, 9), view, parent=parent))
        spans.extend(family)
    return spans


def arrays_of(form: Form) -> list[object]:
    kinds = [(kind.bundles.tolist(), kind.groups, kind.which.tolist()) for kind in form.kinds]
    names = ("costs_G", "rows_G", "group_B", "first_B", "rows_B", "begins_T", "seen_to_T", "span_T", "place_T")
    return [kinds, *[getattr(form, name).tolist() for name in names]]


@given(seeds=st.tuples(st.integers(0, 300), st.integers(0, 300)), first_slot=st.integers(0, 1000))
def test_forwards_of_one_name_have_one_form(seeds: tuple[int, int], first_slot: int) -> None:
    one, other, another = (lay_out(asked(*each)) for each in ((seeds[0], 0), (seeds[0], first_slot), (seeds[1], 0)))
    assert name_of(one) == name_of(other)
    forms = [arrays_of(form_of(layout, SHAPE)) for layout in (one, other, another)]
    assert forms[0] == forms[1]
    assert forms[0] == forms[2] or name_of(one) != name_of(another)


@given(seed=st.integers(0, 2**16))
def test_bundles_are_those_of_the_other_ways_and_rows_see_what_they_see(seed: int) -> None:
    layout = lay_out(asked(seed, 0))
    groups, form = groups_of(layout), form_of(layout, SHAPE)
    assert [id(view) for view in views_of(layout)] == [id(group.view) for group in groups]
    expected = [(n, each.first, each.num_rows) for n, group in enumerate(groups) for each in group.bundles]
    assert list(zip(*(each.tolist() for each in (form.group_B, form.first_B, form.rows_B)), strict=True)) == expected
    for bundle in (each for group in groups for each in group.bundles):
        sees = visible(bundle.spans, layout)
        rows = numpy.arange(bundle.first, bundle.stop)
        begins, ends = form.begins_T[rows], form.seen_to_T[rows]
        # A row sees those before it that are still seen by it.
        assert (sees == ((rows[None] <= rows[:, None]) & (rows[:, None] < ends[None]))).all()
        assert (begins == bundle.first + sees.argmax(1)).all()
