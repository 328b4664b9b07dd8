"""What a forward put side by side for a batch of views, kept for the next forward with the same ones.

Environments that are played together, and bots that all answer every tick, show the same blocks turn after turn. To
gather their keys and values and to move the keys took a fifth of the time of sixteen such turns.

Shapes: P places of a batch, G key/value heads, D head dimension.
"""

from collections import OrderedDict
from dataclasses import dataclass

import torch

from agent_runtime.engine.kv_geometry import KVGeometry
from agent_runtime.engine.span import View

# Batches that came up once and may come again: only what does is worth memory.
_MOST_SEEN = 64

_Name = tuple[int, ...]


@dataclass(eq=False, slots=True)
class Gathered:
    """A batch's keys, moved to their places, and values, [P, G, D] a layer; there once a forward `is_filled` them.

    Each view has `num_keys` places, and those behind it belong to the forward that reads it. Layers that are not on a
    CPU, where there are no batches, have none.
    """

    num_keys: int
    keys: tuple[torch.Tensor, ...]
    values: tuple[torch.Tensor, ...]
    is_filled: bool = False


class GatheredViews:
    """The batches that came up most recently more than once, as many as `most_places` hold.

    Views of blocks only: those of a decoded text are others with every token, and never come again. A view is known by
    its identity, and what it shows never changes: its runs are immutable while anybody may attend them, and a run that
    takes their slots later comes in another view.
    """

    def __init__(self, geometry: KVGeometry, most_places: int) -> None:
        self._geometry = geometry
        self._most_places = most_places
        self._seen: OrderedDict[_Name, tuple[View, ...]] = OrderedDict()
        self._kept: OrderedDict[_Name, tuple[tuple[View, ...], Gathered]] = OrderedDict()
        self._filling: list[tuple[_Name, Gathered]] = []

    @property
    def num_places(self) -> int:
        """Return how many tokens are kept a second time."""
        return sum(len(views) * gathered.num_keys for views, gathered in self._kept.values())

    def of(self, views: tuple[View, ...], num_keys: int) -> Gathered | None:
        """Return what is kept of `views`, at least `num_keys` places each, or where to keep it; None: keep nothing."""
        if not all(view.is_of_blocks for view in views):
            return None
        name = tuple(map(id, views))
        if name in self._kept:
            kept = self._kept[name][1]
            if kept.num_keys >= num_keys:
                self._kept.move_to_end(name)
                return kept
            del self._kept[name]  # longer observations than before
        elif name not in self._seen:
            self._seen[name] = views
            if len(self._seen) > _MOST_SEEN:
                self._seen.popitem(last=False)
            return None
        self._seen.pop(name, None)
        return self._room_for(name, views, num_keys)

    def _room_for(self, name: _Name, views: tuple[View, ...], num_keys: int) -> Gathered | None:
        num_places = len(views) * num_keys
        if num_places > self._most_places:
            return None
        while self._kept and self.num_places + num_places > self._most_places:
            self._kept.popitem(last=False)
        geometry = self._geometry
        shape_PGD = (num_places, geometry.num_kv_heads, geometry.head_dim)
        elsewhere_PGD = (0, *shape_PGD[1:])
        keys, values = (
            tuple(
                torch.empty(shape_PGD if device.type == "cpu" else elsewhere_PGD, dtype=geometry.dtype, device=device)
                for device in geometry.devices
            )
            for _ in range(2)
        )
        gathered = Gathered(num_keys, keys, values)
        self._kept[name] = (views, gathered)
        self._filling.append((name, gathered))
        return gathered

    def end_forward(self, *, is_whole: bool) -> None:
        """Say that the forward has ended, so that what it filled is there; or that it broke off, so that it is not."""
        for name, gathered in self._filling:
            gathered.is_filled = is_whole
            if not is_whole:
                self._kept.pop(name, None)
        self._filling.clear()
