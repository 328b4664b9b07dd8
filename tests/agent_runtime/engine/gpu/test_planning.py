"""What items of work name is what their rows see."""

import random
from collections.abc import Iterator

import pytest
import torch

from agent_runtime.engine.gpu import sharing
from agent_runtime.engine.gpu.key_tiles import KEY_TILE_FIELDS
from agent_runtime.engine.gpu.planning import plan_work
from agent_runtime.engine.gpu.tiling import tiling_of
from agent_runtime.engine.gpu.work_list import ITEM_FIELDS, Shape
from agent_runtime.engine.layout import lay_out
from agent_runtime.engine.runs import Run
from agent_runtime.engine.span import Placed, Span, View, view_of_blocks

# Llama 8B's heads on a GPU of 132 multiprocessors.
SHAPE = Shape(4, 8, 131_072, tiling_of(torch.bfloat16, 128), 132)


def keys_of(tile: list[int]) -> Iterator[tuple[int, int]]:
    """Yield slot and shift of every key of a tile."""
    for first, shift, number in (tile[:3], tile[3:]):
        yield from ((first + place, shift) for place in range(number))


def test_what_an_item_shows_are_tiles_of_its_view_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "_LEAST_SAVED", float("inf"))  # each tile of rows sees all keys itself
    rng = random.Random(0)
    lengths = [rng.choice((1, 33, 85, 300)) for _ in range(200)]
    runs = [Run(((number * 300, length),), length) for number, length in enumerate(lengths)]
    view = view_of_blocks(runs, anchored=True)
    parts = plan_work(lay_out([Span([0] * rows, view.behind, view) for rows in (2, 300)]), SHAPE).parts
    tiles = parts["key_tiles"].reshape(-1, KEY_TILE_FIELDS)
    keys = list(zip(view.slots.tolist(), view.shifts.tolist(), strict=True))
    seen: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for kind in ("narrow", "wide"):
        for first_row, _, tile, first, number, *_ in parts[kind].reshape(-1, ITEM_FIELDS).tolist():
            seen.setdefault((first_row, tile), []).append((first, number))
    assert len(seen) > 2
    for shown in seen.values():
        listed = [
            key
            for first, number in sorted(shown)
            for tile in tiles[first : first + number].tolist()
            for key in keys_of(tile)
        ]
        assert listed == keys


def test_what_a_view_has_grown_by_is_shown_behind_the_rest() -> None:
    view = view_of_blocks([Run(((number * 90, 85),), 85) for number in range(5)], anchored=False)
    views = [view.followed_by(Placed(Run(((900 + number, 1), (950, number)), 1 + number), 0)) for number in (1, 40)]
    parts = plan_work(lay_out([Span([0], each.behind, each) for each in views]), SHAPE).parts
    tiles = parts["key_tiles"].reshape(-1, KEY_TILE_FIELDS).tolist()
    for row, each in enumerate(views):
        items = parts["narrow"].reshape(-1, ITEM_FIELDS).tolist()
        seen = sorted((first, number) for first_row, _, _, first, number, *_ in items if first_row == row)
        keys = [key for first, number in seen for tile in tiles[first : first + number] for key in keys_of(tile)]
        assert keys == list(zip(each.slots.tolist(), each.shifts.tolist(), strict=True))


def test_keys_moved_by_more_than_the_rotary_table_holds_are_refused() -> None:
    view = View((Placed(Run(((0, 3),), 3), 7), Placed(Run(((9, 1),), 1), 131_072)))
    with pytest.raises(IndexError, match="positions 7 to 131072 of 131072"):
        plan_work(lay_out([Span([0], 3, view)]), SHAPE)
