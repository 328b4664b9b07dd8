"""What was found out for the forward before is remembered, and nothing else comes of it."""

import gc
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from weakref import ref

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from agent_runtime.engine.cursor import Cursor
from agent_runtime.engine.gpu import remembered as kept
from agent_runtime.engine.gpu import sharing
from agent_runtime.engine.gpu.forms import form_of
from agent_runtime.engine.gpu.planning import plan_work
from agent_runtime.engine.gpu.remembered import Remembered
from agent_runtime.engine.gpu.tiling import tiling_of
from agent_runtime.engine.gpu.work_list import Shape
from agent_runtime.engine.kv_geometry import KVGeometry
from agent_runtime.engine.layout import lay_out
from agent_runtime.engine.pool import Pool
from agent_runtime.engine.runs import Run
from agent_runtime.engine.span import NOTHING, Placed, Span, View, view_of_blocks

SHAPE = Shape(4, 2, 8192, tiling_of(torch.bfloat16, 128), 8)


@pytest.fixture(autouse=True, scope="module")
def small_worlds() -> Iterator[None]:
    """Let little be worth sharing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sharing, "_LEAST_SAVED", 4)
        yield


def made_again(spans: list[Span]) -> list[Span]:
    """Return the same spans behind views of which nothing has been found out."""
    views: dict[int, View] = {}
    for span in spans:
        if id(span.view) not in views:
            root = View(span.view.root.pieces, span.view.root.end)
            tail = span.view.tail if span.view.stem is not None else ()
            views[id(span.view)] = root.followed_by(tail[0]) if tail else root
    again: dict[Span, Span] = {}
    for span in spans:
        parent = None if span.parent is None else again[span.parent]
        again[span] = replace(span, view=views[id(span.view)], parent=parent)
    return list(again.values())


@dataclass
class Session:
    """A prompt's blocks in their order, and the live end behind them."""

    order: list[Run]
    cursor: Cursor
    asked: list[Span] = field(default_factory=list)


class Sessions(RuleBasedStateMachine):
    """Sessions open, swap blocks, decode together, decide and close; every forward is planned twice."""

    @initialize(lengths=st.lists(st.integers(1, 120), min_size=2, max_size=8))
    def begin(self, lengths: list[int]) -> None:
        self.pool = Pool(KVGeometry(1, 1, torch.float32, (torch.device("cpu"),)), 8192)
        self.world = [self.pool.acquire(length) for length in lengths]
        self.sessions: list[Session] = []
        self.remembered = Remembered()

    def behind(self, order: list[Run]) -> Cursor:
        view = view_of_blocks(order, anchored=False)
        return Cursor(self.pool, view, view.behind)

    @rule(count=st.integers(1, 5), random=st.randoms(use_true_random=False))
    def open(self, count: int, random: object) -> None:
        for _ in range(count):
            order = random.sample(self.world, len(self.world))  # type: ignore[attr-defined]
            self.sessions.append(Session(order, self.behind(order)))

    @rule(which=st.integers(0, 99))
    def open_over_the_same_view(self, which: int) -> None:
        if self.sessions:
            old = self.sessions[which % len(self.sessions)]
            root = old.cursor.view.root
            self.sessions.append(Session(old.order, Cursor(self.pool, root, root.behind)))

    @rule(which=st.integers(0, 99), one=st.integers(0, 99), other=st.integers(0, 99))
    def swap(self, which: int, one: int, other: int) -> None:
        if self.sessions:
            session = self.sessions[which % len(self.sessions)]
            order = list(session.order)
            one, other = one % len(order), other % len(order)
            order[one], order[other] = order[other], order[one]
            session.cursor.release()
            session.order, session.cursor = order, self.behind(order)

    @rule(which=st.integers(0, 99), number=st.integers(0, 99), is_cut=st.booleans())
    def replace_by_one_as_long(self, which: int, number: int, is_cut: bool) -> None:
        old = self.world[number % len(self.world)]
        if self.sessions and self.pool.num_free > 1000:
            fresh = self.pool.acquire(old.length)
            if is_cut:
                fresh = Run(
                    (*fresh.part(old.length // 2, old.length).extents, *fresh.part(0, old.length // 2).extents),
                    old.length,
                )
            self.world[number % len(self.world)] = fresh
            session = self.sessions[which % len(self.sessions)]
            session.order = [fresh if run is old else run for run in session.order]
            session.cursor.release()
            session.cursor = self.behind(session.order)

    @rule(which=st.integers(0, 99))
    def close(self, which: int) -> None:
        if self.sessions:
            self.sessions.pop(which % len(self.sessions)).cursor.release()

    @rule(rows=st.sampled_from([1, 1, 1, 2, 7]), steps=st.integers(1, 3))
    def decode(self, rows: int, steps: int) -> None:
        for _ in range(steps):
            self.forward([session.cursor.extend([1] * rows) for session in self.sessions])

    @rule(which=st.integers(0, 99), rows=st.integers(1, 50), is_encoded=st.booleans())
    def decide(self, which: int, rows: int, is_encoded: bool) -> None:
        if self.sessions:
            cursor = self.sessions[which % len(self.sessions)].cursor
            root = cursor.peek([2] * rows)
            block = self.world[which % len(self.world)]
            fresh = [Span([3] * block.length, 0, NOTHING, keep=block)] if is_encoded else []
            answers = [Span([4] * 3, root.start + rows, root.view, parent=root) for _ in range(4)]
            others = [session.cursor.extend([5]) for session in self.sessions if session.cursor is not cursor]
            self.forward([*fresh, root, *answers, *others])

    def forward(self, spans: list[Span]) -> None:
        if not spans:
            return
        found = plan_work(lay_out(spans), SHAPE, remembered=self.remembered)
        fresh = plan_work(lay_out(made_again(spans)), SHAPE)
        assert found.counts == fresh.counts and found.num_parts == fresh.num_parts
        for name, array in fresh.parts.items():
            assert found.parts[name].tobytes() == array.tobytes(), name

    @invariant()
    def little_is_kept(self) -> None:
        if hasattr(self, "remembered"):
            assert max(len(self.remembered.sharing), len(self.remembered.planned)) <= kept._MOST_SHARED
            assert max(len(self.remembered.forms), len(self.remembered.items)) <= kept._MOST_ALIKE


TestSessions = Sessions.TestCase
TestSessions.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


def sessions(runs: list[Run], count: int) -> list[View]:
    return [view_of_blocks([*runs[number:], *runs[:number]], anchored=False) for number in range(count)]


def stepped(remembered: Remembered, views: list[View]) -> object:
    layout = lay_out([Span([0], view.behind, view) for view in views])
    form = remembered.forms.of(len(views), lambda: form_of(layout, SHAPE))
    return remembered.shared(views, form, SHAPE)


def test_a_step_finds_what_the_one_before_it_found_until_a_view_is_gone() -> None:
    runs = [Run(((number * 100, 100),), 100) for number in range(8)]
    views = sessions(runs, 6)
    remembered = Remembered()
    first = stepped(remembered, views)
    assert first is not None and stepped(remembered, views) is first and len(remembered.sharing) == 1
    assert stepped(remembered, views[:5]) is not first and len(remembered.sharing) == 2
    views.pop()
    gc.collect()
    assert len(remembered.sharing) == 1


def test_views_go_though_their_forward_is_remembered() -> None:
    remembered = Remembered()
    views = sessions([Run(((number * 100, 100),), 100) for number in range(8)], 3)
    grown = [view.followed_by(Placed(Run(((900 + number, 1),), 1), 0)) for number, view in enumerate(views)]
    spans = [Span([0] * 50, view.behind, view) for view in (views[0], *grown)]
    plan_work(lay_out(spans), SHAPE, remembered=remembered)
    plan_work(lay_out([Span([0] * 9, 0, NOTHING, keep=Run(((950, 9),), 9))]), SHAPE, remembered=remembered)
    assert len(remembered.planned) == 0  # what has grown is gone with the next token, and a block is encoded once
    plan_work(lay_out(asked(views, 50)), SHAPE, remembered=remembered)
    assert len(remembered.planned) == 1
    left = [ref(each) for each in (*views, *grown)]
    del views, grown, spans
    gc.collect()
    assert len(remembered.sharing) == len(remembered.planned) == 0
    assert len(remembered.forms) == len(remembered.items) == 3
    assert [each() for each in left] == [None] * len(left)


def test_the_least_recently_used_goes_first() -> None:
    runs = [Run(((number * 100, 100),), 100) for number in range(8)]
    views = sessions(runs, 8)
    remembered = Remembered()
    steps = [views[begin:end] for begin in range(8) for end in range(begin + 3, 9)][: kept._MOST_SHARED + 1]
    first = stepped(remembered, steps[0])
    for step in steps[1:-1]:
        stepped(remembered, step)
    assert stepped(remembered, steps[0]) is first
    stepped(remembered, steps[-1])
    assert len(remembered.sharing) == kept._MOST_SHARED and stepped(remembered, steps[0]) is first


def assert_as_if_new(forwards: list[list[Span]]) -> None:
    remembered = Remembered()
    for spans in forwards:
        found, fresh = (plan_work(lay_out(spans), SHAPE, remembered=each) for each in (remembered, None))
        assert found.counts == fresh.counts and found.num_parts == fresh.num_parts
        assert {name: array.tobytes() for name, array in found.parts.items()} == {
            name: array.tobytes() for name, array in fresh.parts.items()
        }


def asked(views: list[View], rows: int) -> list[Span]:
    return [Span([0] * rows, view.behind, view) for view in views]


def test_the_same_views_asked_alike_are_planned_once_whatever_is_asked_and_kept() -> None:
    remembered = Remembered()
    views = sessions([Run(((number * 100, 100),), 100) for number in range(8)], 3)
    again = [replace(span, ids=[7] * 9, keep=Run(((5000, 9),), 9)) for span in asked(views, 9)]
    later = [replace(span, start=span.start + 40) for span in asked(views, 9)]
    forwards = [asked(views, 9), again, later, asked(views, 9), asked(views[::-1], 9)]
    plans = [plan_work(lay_out(spans), SHAPE, remembered=remembered) for spans in forwards]
    places = [plan.new["positions_T"] for plan in plans]
    assert places[0] is places[1] is places[3] and places[2].tolist() == (places[0] + 40).tolist()
    assert [len(plan.new["slots_T"]) for plan in plans] == [0, 27, 0, 0, 0]
    assert set(plans[1].new["ids_T"]) == {7} and set(plans[3].new["ids_T"]) == {0}
    assert_as_if_new(forwards)


def test_the_same_views_asked_by_more_rows_are_shared_by_those() -> None:
    views = sessions([Run(((number * 100, 100),), 100) for number in range(8)], 5)
    assert_as_if_new([asked(views, 1), asked(views, 7)])


def test_spans_of_the_same_lengths_that_descend_otherwise_see_otherwise() -> None:
    [view] = sessions([Run(((0, 100),), 100)], 1)

    def family(is_chain: bool) -> list[Span]:
        root = Span([0] * 5, view.behind, view)
        first = Span([0] * 3, root.start + 5, view, parent=root)
        behind = first if is_chain else root
        return [root, first, Span([0] * 3, behind.start + len(behind.ids), view, parent=behind)]

    assert_as_if_new([family(False), family(True)])


def test_as_many_tiles_of_another_world_are_cut_otherwise() -> None:
    runs = [Run(((number * 100, 100),), 100) for number in range(8)]
    few = [view_of_blocks(runs[:5], anchored=False) for _ in range(5)]
    assert_as_if_new([asked(sessions(runs, 5), 7), asked(few, 7)])
