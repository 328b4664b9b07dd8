"""The work list of one packed forward: what is attended by which program, copied to the device at once.

All of it is one array of int32. What it holds only now and then lies where its head says (`HEAD`); what has as many
places as the forward has rows lies at the front, where a graph that was captured for so many rows finds it.

Shapes: T rows of the forward (of its bucket, where it is padded), W rows whose logits are wanted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy
import torch

from agent_runtime.engine.gpu.tiling import Tiling

# The fields of an item. Narrow and wide: first row and number of rows of its bundle, its tile of them, first and number
# of the listed tiles of keys (`key_tiles.py`), first and number of its own keys (rows of the bundle), and where its
# part goes (-1: it is the only one). Shared: first and number of its `shared_rows`, first and number of its runs, and
# where its part goes.
ITEM_FIELDS = 8
# What is merged of a row: where its first part lies, how many there are, and how far apart they are; 0 for none. The
# same for the parts of what it shares.
MERGE_FIELDS = 6
# A listed row is a row of the forward and its session; a run is its first slot, its length, and where its shifts begin.
SHARED_ROW_FIELDS, RUN_FIELDS = 2, 3
# What the head says: the numbers of narrow, wide and shared items, where they begin, and where the tiles of
# keys, the ends of what sees each row, shared rows, runs and shifts do.
HEAD = ("narrow", "wide", "shared", "key_tiles", "seen_to_T", "shared_rows", "runs", "shifts")
_KINDS, _HEAD_SIZE = 3, 16
# Parts of the array begin at multiples of this: kernels are compiled once for pointers to 16 bytes.
_ALIGNED = 4
# What stands in the places of padding: no row is kept, and nothing is merged.
_PADDING = {"ids_T": 0, "positions_T": 0, "slots_T": -1, "seen_to_T": 0, "merges_T": 0, "rows_W": 0}
# What is numbers alone (`Items`) lies before what is new in a turn, and is written together.
_ITEMS_FRONT, _ITEMS_BEHIND = ("seen_to_T", "merges_T"), ("narrow", "wide", "shared", "shared_rows")
_NEW_FRONT, _NEW_BEHIND = ("ids_T", "positions_T", "slots_T", "rows_W"), ("key_tiles", "runs", "shifts")
_PLACE_IN_HEAD = {name: _KINDS + number for number, name in enumerate(HEAD)}


@dataclass(frozen=True)
class Shape:
    """What planning has to know: query heads to a key head, key heads, how many positions the rotary table holds, the
    tiles, and how many multiprocessors a device has.
    """

    per_group: int
    num_groups: int
    num_positions: int
    tiling: Tiling
    num_multiprocessors: int

    @property
    def tile_rows(self) -> tuple[int, int, int]:
        """Return the query rows of narrow, wide and shared tiles, of which whole rows of the forward are used."""
        least = 1 << (self.per_group - 1).bit_length()
        narrow, wide, shared = (max(tile.rows, least) for tile in self.tiling)
        return narrow, wide, shared

    @cached_property
    def rows_each(self) -> tuple[int, int, int]:
        """Return how many rows of the forward narrow, wide and shared tiles hold."""
        narrow, wide, shared = (rows // self.per_group for rows in self.tile_rows)
        return narrow, wide, shared

    def shared_tiles(self, num_rows: numpy.ndarray) -> numpy.ndarray:
        """Return in how many tiles so many rows are attended to what is read where it lies."""
        found: numpy.ndarray = -(-num_rows // self.rows_each[2])
        return found

    def kind_of(self, num_rows: int) -> int:
        """Return which tiles a bundle of so many rows takes, 0 for narrow ones and 1 for wide ones."""
        return int(num_rows > self.rows_each[0])

    def num_programs(self, kind: int) -> int:
        """Return how many programs of a kernel the device runs at once."""
        return self.tiling[kind].programs * self.num_multiprocessors


@dataclass(frozen=True, slots=True, eq=False)
class Items:
    """The parts of a work list that forwards which are asked alike have in common, int32, and read only.

    Who sees which rows, what is merged, all items, and rows that share; how many items and parts there are.
    """

    parts: dict[str, numpy.ndarray]
    counts: tuple[int, int, int]
    num_parts: int
    _begun: dict[tuple[int, int], numpy.ndarray] = field(default_factory=dict)

    def begun(self, num_rows: int, num_wanted: int) -> numpy.ndarray:
        """Return a list for so many rows and wanted rows that has these parts, and padding in the places of new ones.

        It is made once for each bucket; what is new lies in its front, and behind it.
        """
        key = num_rows, num_wanted
        if key not in self._begun:
            self._begun[key] = self._made(num_rows, num_wanted)
        return self._begun[key]

    def _made(self, num_rows: int, num_wanted: int) -> numpy.ndarray:
        places = front(num_rows, num_wanted)
        begin, length = places["rows_W"]
        size = begin + _aligned(length)
        whole = numpy.zeros(size + sum(_aligned(self.parts[name].size) for name in _ITEMS_BEHIND), dtype=numpy.int32)
        whole[:_KINDS] = self.counts
        for name, (begin, length) in places.items():
            whole[begin : begin + length] = _PADDING[name]
        for name in _ITEMS_FRONT:
            begin, _ = places[name]
            whole[begin : begin + self.parts[name].size] = self.parts[name]
        whole[_PLACE_IN_HEAD["seen_to_T"]] = places["seen_to_T"][0]
        for name in _ITEMS_BEHIND:
            whole[_PLACE_IN_HEAD[name]] = size
            whole[size : size + self.parts[name].size] = self.parts[name]
            size += _aligned(self.parts[name].size)
        return whole


@dataclass(frozen=True, slots=True)
class Arrays:
    """A work list on the host: what it has in common with others, and what is new, named as in `HEAD` and `front`."""

    items: Items
    new: dict[str, numpy.ndarray]

    @property
    def parts(self) -> dict[str, numpy.ndarray]:
        """Return all parts by their names."""
        return {**self.items.parts, **self.new}

    @property
    def counts(self) -> tuple[int, int, int]:
        """Return how many narrow, wide and shared items there are."""
        return self.items.counts

    @property
    def num_parts(self) -> int:
        """Return how many parts are merged."""
        return self.items.num_parts

    @property
    def num_rows(self) -> int:
        """Return T."""
        return int(self.new["positions_T"].size)

    @property
    def num_wanted(self) -> int:
        """Return W."""
        return int(self.new["rows_W"].size)

    def size(self, num_rows: int, num_wanted: int) -> int:
        """Return how many words it takes for so many rows and wanted rows."""
        behind = sum([_aligned(self.new[name].size) for name in _NEW_BEHIND])
        return int(self.items.begun(num_rows, num_wanted).size) + behind

    def write(self, whole: numpy.ndarray, num_rows: int, num_wanted: int) -> None:
        """Write the list into int32 `whole`, padded up to so many rows and wanted rows."""
        begun, places = self.items.begun(num_rows, num_wanted), front(num_rows, num_wanted)
        end = begun.size
        whole[:end] = begun
        for name in _NEW_FRONT:
            begin, array = places[name][0], self.new[name]
            whole[begin : begin + array.size] = array
        for name in _NEW_BEHIND:
            array, whole[_PLACE_IN_HEAD[name]] = self.new[name], end
            if array.size:
                whole[end : end + array.size] = array
                end += _aligned(array.size)

    def on(self, device: torch.device) -> "WorkList":
        """Return the list on `device`, copied there at once."""
        host = torch.empty(self.size(self.num_rows, self.num_wanted), dtype=torch.int32, pin_memory=is_pinned(device))
        self.write(host.numpy(), self.num_rows, self.num_wanted)
        whole = host.to(device, non_blocking=True)
        return WorkList(whole, self.num_rows, self.num_wanted, self.counts, self.num_parts)


@dataclass(frozen=True, slots=True)
class WorkList:
    """The list of one forward on one device. `counts` and `num_parts` are what is there, or as many as may be."""

    whole: torch.Tensor
    num_rows: int
    num_wanted: int
    counts: tuple[int, int, int]
    num_parts: int

    def at(self, name: str) -> torch.Tensor:
        """Return one of the parts in `front`."""
        begin, length = front(self.num_rows, self.num_wanted)[name]
        return self.whole[begin : begin + length]


@lru_cache(maxsize=64)
def front(num_rows: int, num_wanted: int) -> Mapping[str, tuple[int, int]]:
    """Return where the parts lie that have as many places as there are rows, or wanted rows, and how many those are.

    `ids_T` are the tokens, `slots_T` where they are kept (-1: nowhere), `seen_to_T` the first row that does not see a
    row any more.
    """
    found, begin = {}, _HEAD_SIZE
    for name in _PADDING:
        length = num_wanted if name == "rows_W" else num_rows * (MERGE_FIELDS if name == "merges_T" else 1)
        found[name] = (begin, length)
        begin += _aligned(length)
    return found


def is_pinned(device: torch.device) -> bool:
    """Whether the host's side of a copy to `device` lies in memory from where it does not make the host wait."""
    return device.type == "cuda"


def _aligned(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED
