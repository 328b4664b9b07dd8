"""What was gathered for views that come again is what gathering them anew would give."""

import numpy
import pytest
import torch

from agent_runtime.engine import batches
from agent_runtime.engine.errors import EngineClosed
from agent_runtime.engine.gathered import GatheredViews
from agent_runtime.engine.span import Placed, Span, View, view_of_blocks
from tests.agent_runtime.engine.worlds import World, encode, random_ids, world


def views_of(w: World, rng: numpy.random.Generator, lengths: list[list[int]]) -> list[View]:
    views = []
    for each in lengths:
        runs, spans = encode(w, [random_ids(rng, length) for length in each])
        w.runner.run(spans)
        views.append(view_of_blocks(runs, anchored=False))
    return views


def observed(rng: numpy.random.Generator, views: list[View], rows: list[int]) -> list[Span]:
    return [
        Span(random_ids(rng, count), view.length, view, wanted="all") for view, count in zip(views, rows, strict=True)
    ]


def agrees_with_each_alone(w: World, spans: list[Span]) -> None:
    together = w.runner.run(spans)
    for span in spans:
        (alone,) = w.runner.run([span]).values()
        assert torch.allclose(together[span], alone, atol=1e-5, rtol=1e-4)


def gathers_counted(monkeypatch: pytest.MonkeyPatch, w: World) -> list[int]:
    """How many slots of the pool's keys each later gather takes."""
    taken: list[int] = []
    select = torch.index_select
    ours = {id(keys) for keys in w.pool.keys}

    def counted(source: torch.Tensor, *given, **options):  # type: ignore[no-untyped-def]
        if id(source) in ours:
            taken.append(len(given[1]))
        return select(source, *given, **options)

    monkeypatch.setattr(torch, "index_select", counted)
    return taken


def test_from_the_third_time_on_nothing_is_gathered_unless_more_room_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    w, rng = world(), numpy.random.default_rng(0)
    views = views_of(w, rng, [[20, 9], [5, 21, 4], [30]])
    taken = gathers_counted(monkeypatch, w)
    found = []
    for rows in ([3, 3, 3], [2, 3, 4], [4, 3, 2], [1, 1, 1], [25, 20, 25], [5, 4, 6]):
        before = len(taken)
        spans = observed(rng, views, rows)
        together = w.runner.run(spans)
        found.append(len(taken) - before)
        for span in spans:
            (alone,) = w.runner.run([span]).values()
            assert torch.allclose(together[span], alone, atol=1e-5, rtol=1e-4)
    layers = w.pool.geometry.num_layers
    assert found == [layers, layers, 0, 0, layers, 0]


def test_other_views_or_another_order_are_another_batch() -> None:
    w, rng = world(), numpy.random.default_rng(1)
    views = views_of(w, rng, [[20], [20], [20], [20]])
    for _ in range(3):
        agrees_with_each_alone(w, observed(rng, views[:3], [2, 2, 2]))
    agrees_with_each_alone(w, observed(rng, views[1:], [2, 2, 2]))
    agrees_with_each_alone(w, observed(rng, views[2::-1], [2, 2, 2]))
    agrees_with_each_alone(w, observed(rng, views, [2, 2, 2, 2]))


def test_blocks_in_the_slots_of_others_are_not_taken_for_them() -> None:
    w, rng = world(num_slots=80), numpy.random.default_rng(2)
    for _ in range(3):
        blocks = [[random_ids(rng, 15), random_ids(rng, 5)] for _ in range(2)]
        made = [encode(w, each) for each in blocks]
        views = [view_of_blocks(runs, anchored=False) for runs, _ in made]
        w.runner.run([span for _, spans in made for span in spans])
        for _ in range(3):
            agrees_with_each_alone(w, observed(rng, views, [2, 3]))
        for runs, _ in made:
            for run in runs:
                w.pool.release(run)


def test_a_forward_that_broke_off_leaves_nothing_behind() -> None:
    w, rng = world(), numpy.random.default_rng(3)
    views = views_of(w, rng, [[20], [19]])
    w.runner.run(observed(rng, views, [2, 2]))
    layers = iter([False, True])
    with pytest.raises(EngineClosed):
        w.runner.run(observed(rng, views, [2, 2]), lambda: next(layers))
    assert w.runner.gathered.num_places == 0
    for _ in range(3):
        agrees_with_each_alone(w, observed(rng, views, [2, 2]))
    assert w.runner.gathered.num_places == 2 * 32


def test_it_holds_as_much_as_it_may_and_lets_the_oldest_go() -> None:
    w, rng = world(), numpy.random.default_rng(4)
    pairs = [views_of(w, rng, [[20], [20]]) for _ in range(4)]
    w.runner.gathered = GatheredViews(w.pool.geometry, 3 * 64 + 1)
    for views in pairs:
        for _ in range(3):
            agrees_with_each_alone(w, observed(rng, views, [2, 2]))
    assert w.runner.gathered.num_places == 3 * 64
    large = views_of(w, rng, [[100], [100]])
    for _ in range(3):
        agrees_with_each_alone(w, observed(rng, large, [2, 2]))
    assert w.runner.gathered.num_places == 3 * 64  # it is too large to be kept at all


def test_what_comes_up_once_is_not_kept() -> None:
    w, rng = world(), numpy.random.default_rng(5)
    for _ in range(5):
        agrees_with_each_alone(w, observed(rng, views_of(w, rng, [[20], [20]]), [2, 2]))
    assert w.runner.gathered.num_places == 0


def test_a_forward_that_fails_before_it_begins_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    w, rng = world(), numpy.random.default_rng(6)
    views = views_of(w, rng, [[20], [19]])
    w.runner.run(observed(rng, views, [2, 2]))

    def broken(*given: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(batches, "_shown", broken)
        with pytest.raises(MemoryError):
            w.runner.run(observed(rng, views, [2, 2]))
    w.runner.run(observed(rng, views[:1], [2]))
    for _ in range(3):
        agrees_with_each_alone(w, observed(rng, views, [2, 2]))


def test_what_is_seen_behind_a_decoded_text_is_neither_kept_nor_remembered() -> None:
    w, rng = world(), numpy.random.default_rng(7)
    views = views_of(w, rng, [[20], [19]])
    w.runner.run(observed(rng, views, [2, 2]))
    tail = w.pool.acquire(3)
    for _ in range(80):
        w.runner.run(observed(rng, [View((*view.pieces, Placed(tail, 0))) for view in views], [1, 1]))
    w.runner.run(observed(rng, views, [2, 2]))
    assert w.runner.gathered.num_places == 2 * 32
