"""The packed forward on a GPU: one CUDA graph for every bucket of rows, whatever the number of blocks.

A graph reads everything that changes from one buffer at a fixed place: ids, positions, slots, the work list, which rows
are wanted. What a forward needs is planned on the host and copied there at once. Rows up to the bucket's number are
padding: no item of work names them, nothing of them is kept, and nobody sees them. A forward that does not fit, of
many rows or of very many keys, is launched kernel by kernel.

Turns join a forward while it has fewer than `max_rows` rows, so buckets reach to twice as many, 2,048 at most. What
graphs share takes memory by that largest bucket R: R x (3 H + 2 G) x D numbers of the model's dtype and 6 R x H x D of
float32 for rows on their way through attention (Llama 8B: 124 MiB for R = 1,024, 248 for 2,048), 512 x V of the dtype
for logits (125 MiB), and R x I numbers for the widest product (I: both halves of what is gated; 56 MiB and 112).

Shapes: T rows of a bucket, W wanted rows of a bucket, V vocabulary.
"""

import threading
from bisect import bisect_left
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from transformers import PreTrainedModel

from agent_runtime.engine.gpu.attention import KernelStep, shape_of
from agent_runtime.engine.gpu.host_lists import HostLists
from agent_runtime.engine.gpu.likeliest import likeliest
from agent_runtime.engine.gpu.merged import Merged
from agent_runtime.engine.gpu.planning import plan_work
from agent_runtime.engine.gpu.remembered import Remembered
from agent_runtime.engine.gpu.work_list import Arrays, WorkList
from agent_runtime.engine.layout import Layout
from agent_runtime.engine.pool import Pool
from agent_runtime.engine.rope import RotaryTable
from agent_runtime.engine.step import Scratch

_ROW_BUCKETS = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048)
_WANTED_BUCKETS = (0, 1, 4, 16, 64, 128, 256, 512)
# What a graph's buffers hold: words of a work list (of which a tile of keys takes six), and parts to be merged of a
# row, on the mean of the largest bucket's.
_WORDS, _PARTS_EACH = 2**20, 6


# One capture may be under way in a process, whichever engine's it is.
_CAPTURING = threading.Lock()


@dataclass(frozen=True, slots=True)
class _Key:
    """Which graph: its rows, its wanted rows, and whether there are narrow, wide and shared items."""

    num_rows: int
    num_wanted: int
    has_items: tuple[bool, bool, bool]


class KernelForward:
    """Runs packed forwards of one model whose weights are merged, on one device.

    `max_rows` is the scheduler's. `is_graphed` False runs the same kernels on the same buffers without a graph: bit for
    bit the same.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        pool: Pool,
        rope: RotaryTable,
        *,
        max_rows: int = 512,
        is_graphed: bool | None = None,
        specialised: bool = True,
    ) -> None:
        [self._device] = set(pool.geometry.devices)
        self._num_heads = model.config.get_text_config().num_attention_heads
        self._shape = shape_of(pool, rope, self._num_heads, self._device, specialised=specialised)
        self._merged = Merged(model)
        self._pool, self._rope = pool, rope
        largest = _least(_ROW_BUCKETS, 2 * max_rows) or _ROW_BUCKETS[-1]
        self._row_buckets = [bucket for bucket in _ROW_BUCKETS if bucket <= largest]
        self._num_parts = _PARTS_EACH * largest
        self._is_graphed = self._device.type == "cuda" if is_graphed is None else is_graphed
        self._graphs: dict[_Key, torch.cuda.CUDAGraph] = {}
        self._lists: HostLists | None = None
        self._logits = torch.empty(0)
        self._scratch = Scratch()
        self._last: torch.cuda.CUDAGraph | None = None
        self._remembered = Remembered()
        self._attended = torch.empty(0)

    @property
    def largest_bucket(self) -> int:
        """Return the rows up to which forwards are graphs."""
        return self._row_buckets[-1]

    def device_seconds(self, times: int) -> float | None:
        """Return what the device takes for the last forward, computed `times` more; None if that was no graph.

        Slots are written again with what they hold, so nothing may have been run or released in between.
        """
        if self._last is None:
            return None
        with _on(self._device):
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            for _ in range(times):
                self._last.replay()
            end.record()
            end.synchronize()
            return float(begin.elapsed_time(end)) / 1e3 / times

    @torch.inference_mode()
    def run(self, layout: Layout, rows_W: numpy.ndarray) -> torch.Tensor:
        """Compute a forward, and return the logits of `rows_W` (int64, in any order), [W, V] in float32."""
        with _on(self._device):
            return self._run(layout, rows_W)

    def _run(self, layout: Layout, rows_W: numpy.ndarray) -> torch.Tensor:
        arrays = plan_work(layout, self._shape, rows_W, self._remembered)
        key, size = self._bucket(arrays)
        self._last = None
        if key is None:
            return self._computed(arrays.on(self._device), Scratch(), None).float()
        lists = self._lists or self._make_buffers()
        try:
            lists.send(arrays, key.num_rows, key.num_wanted, size)
            self._compute_or_replay(key, lists)
        finally:
            lists.let_go()
        return self._logits[: len(rows_W)].to(torch.float32, copy=True)  # the next forward writes there

    def likeliest(self, logits_WV: torch.Tensor) -> torch.Tensor:
        """Return the token of each row's largest logit, the lowest of equals, int32 [W]."""
        with _on(self._device):
            return likeliest(logits_WV)

    def _compute_or_replay(self, key: _Key, lists: HostLists) -> None:
        if not self._is_graphed:
            self._compute(key, lists)
        else:
            if key not in self._graphs:
                self._graphs[key] = self._captured(key, lists)
            self._last = self._graphs[key]
            self._last.replay()

    def _bucket(self, arrays: Arrays) -> tuple[_Key | None, int]:
        """Return the smallest bucket that holds a forward, None if none does, and how many words its list takes."""
        rows, wanted = _least(self._row_buckets, arrays.num_rows), _least(_WANTED_BUCKETS, arrays.num_wanted)
        if rows is None or wanted is None or arrays.num_parts > self._num_parts:
            return None, 0
        size = arrays.size(rows, wanted)
        narrow, wide, shared = (count > 0 for count in arrays.counts)
        return _Key(rows, wanted, (narrow, wide, shared)) if size <= _WORDS else None, size

    def _make_buffers(self) -> HostLists:
        geometry, rows = self._pool.geometry, self.largest_bucket
        like = torch.empty(0, dtype=geometry.dtype, device=self._device)
        single = torch.empty(0, device=self._device)
        # Graphs keep the addresses of what they were captured with, so it is made as large as it will ever be.
        for name in ("queries", "plain"):
            self._scratch.empty(name, (rows, self._num_heads, geometry.head_dim), like)
        self._scratch.empty("keys", (rows, geometry.num_kv_heads, geometry.head_dim), like)
        self._scratch.empty("values", (rows, geometry.num_kv_heads, geometry.head_dim), like)
        self._scratch.empty("means", (self._num_parts, self._num_heads, geometry.head_dim), single)
        self._scratch.empty("sums", (self._num_parts, self._num_heads), single)
        vocab = self._merged.num_logits
        self._logits = like.new_zeros((_WANTED_BUCKETS[-1], vocab))  # one for all graphs, which would have one each
        self._attended = like.new_zeros((rows, self._num_heads, geometry.head_dim))
        self._lists = HostLists(_WORDS, self._device)
        return self._lists

    def _compute(self, key: _Key, lists: HostLists) -> None:
        # As many items as there are programs: how many there are, kernels read.
        counts = [self._shape.num_programs(kind) * has for kind, has in enumerate(key.has_items)]
        work = WorkList(lists.there, key.num_rows, key.num_wanted, (counts[0], counts[1], counts[2]), self._num_parts)
        self._logits[: key.num_wanted] = self._computed(work, self._scratch, self._attended)

    def _computed(self, work: WorkList, scratch: Scratch, attended: torch.Tensor | None) -> torch.Tensor:
        """Return the logits of the wanted rows, [W, V] in the model's dtype."""
        step = KernelStep(self._pool, work, self._shape, *self._rope.halves(self._device), scratch, attended)
        return self._merged.logits(self._merged.hidden(work.at("ids_T"), step), work.at("rows_W"))

    def _captured(self, key: _Key, lists: HostLists) -> torch.cuda.CUDAGraph:
        """Capture the forward of a bucket; before that it runs once, since kernels are compiled as they are met.

        What it writes into the pool then is what it is to write there.
        """
        with _CAPTURING:
            stream = torch.cuda.Stream(self._device)
            stream.wait_stream(torch.cuda.current_stream(self._device))
            with torch.cuda.stream(stream):
                self._compute(key, lists)
            torch.cuda.current_stream(self._device).wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            pool = next(iter(self._graphs.values())).pool() if self._graphs else None
            with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
                self._compute(key, lists)
            return graph


def _on(device: torch.device) -> AbstractContextManager[Any]:
    """Triton launches on the current device, and streams are those of the current device."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def _least(buckets: Sequence[int], number: int) -> int | None:
    place = bisect_left(buckets, number)
    return buckets[place] if place < len(buckets) else None
