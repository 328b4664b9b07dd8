"""The packed forward on a GPU: one CUDA graph for every bucket of rows, whatever the number of blocks.

A graph reads everything that changes from buffers at fixed places: ids, positions, slots, the work list, which rows are
wanted. What a forward needs is planned on the host and copied there. Rows up to the bucket's number are
padding: no piece of work names them, nothing of them is kept, and nobody sees them. A forward that does not fit, of
many rows or of very many keys, is launched kernel by kernel.

Shapes: T rows of a bucket, W wanted rows of a bucket, V vocabulary.
"""

import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from transformers import PreTrainedModel

from agent_runtime.engine.gpu.attention import KernelStep, num_programs
from agent_runtime.engine.gpu.merged import Merged
from agent_runtime.engine.gpu.work_list import MERGE_FIELDS, PIECE_FIELDS, Arrays, Shape, plan_work, work_list
from agent_runtime.engine.layout import Layout
from agent_runtime.engine.pool import Pool
from agent_runtime.engine.rope import RotaryTable
from agent_runtime.engine.step import Scratch

_ROW_BUCKETS = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
_WANTED_BUCKETS = (0, 1, 4, 16, 64, 256, 512)
# What a graph's buffers hold: pieces of work of each kind, listed keys, words of masks, parts to be merged, shared
# runs, and by how much sessions have them moved.
_PIECES, _KEYS, _MASK_WORDS, _PARTS, _RUNS, _SHIFTS = 4096, 2**18, 2**16, 4096, 2**14, 2**16


# One capture may be under way in a process, whichever engine's it is.
_CAPTURING = threading.Lock()


@dataclass(frozen=True, slots=True)
class _Key:
    """Which graph: its rows, its wanted rows, and whether there are narrow, wide and shared pieces."""

    num_rows: int
    num_wanted: int
    has_pieces: tuple[bool, bool, bool]


class KernelForward:
    """Runs packed forwards of one model whose weights are merged, on one device.

    `is_graphed` False runs the same kernels on the same buffers without a graph: bit for bit the same.
    """

    def __init__(
        self, model: PreTrainedModel, pool: Pool, rope: RotaryTable, *, is_graphed: bool | None = None
    ) -> None:
        self._merged = Merged(model)
        [self._device] = set(pool.geometry.devices)
        self._pool, self._rope = pool, rope
        num_heads, num_groups = model.config.get_text_config().num_attention_heads, pool.geometry.num_kv_heads
        self._shape = Shape(num_heads // num_groups, num_groups, num_programs(self._device), rope.num_positions)
        self._is_graphed = self._device.type == "cuda" if is_graphed is None else is_graphed
        self._buffers: _Buffers | None = None
        self._graphs: dict[_Key, torch.cuda.CUDAGraph] = {}
        self._logits = torch.empty(0)
        self._scratch = Scratch()
        self._attended = torch.empty(0)
        self._num_heads = num_heads

    @torch.inference_mode()
    def run(self, layout: Layout, rows_W: numpy.ndarray) -> torch.Tensor:
        """Compute a forward, and return the logits of `rows_W` (int64, in any order), [W, V] in float32."""
        with _on(self._device):
            return self._run(layout, rows_W)

    def _run(self, layout: Layout, rows_W: numpy.ndarray) -> torch.Tensor:
        ids_T = numpy.concatenate([numpy.asarray(span.ids, dtype=numpy.int64) for span in layout.spans])
        arrays = plan_work(layout, self._shape)
        key = _key(layout.num_rows, len(rows_W), arrays)
        if key is None:
            return self._eager(arrays, ids_T, rows_W)
        buffers = self._buffers = self._buffers or self._make_buffers()
        buffers.load(key, arrays, ids_T, rows_W)
        if not self._is_graphed:
            self._compute(key, buffers)
        else:
            if key not in self._graphs:
                self._graphs[key] = self._captured(key, buffers)
            self._graphs[key].replay()
        return self._logits[: len(rows_W)].clone()  # the next forward writes there

    def _eager(self, arrays: Arrays, ids_T: numpy.ndarray, rows_W: numpy.ndarray) -> torch.Tensor:
        step = KernelStep(self._pool, arrays.on(self._device), self._shape, *self._rope.halves(self._device))
        hidden_TE = self._merged.hidden(torch.from_numpy(ids_T).to(self._device), step)
        return self._merged.logits(hidden_TE, torch.from_numpy(rows_W).to(self._device))

    def _make_buffers(self) -> "_Buffers":
        geometry, rows = self._pool.geometry, _ROW_BUCKETS[-1]
        like = torch.empty(0, dtype=geometry.dtype, device=self._device)
        single = torch.empty(0, device=self._device)
        # Graphs keep the addresses of what they were captured with, so it is made as large as it will ever be.
        for name in ("queries", "plain"):
            self._scratch.empty(name, (rows, self._num_heads, geometry.head_dim), like)
        self._scratch.empty("keys", (rows, geometry.num_kv_heads, geometry.head_dim), like)
        self._scratch.empty("values", (rows, geometry.num_kv_heads, geometry.head_dim), like)
        self._scratch.empty("means", (_PARTS, self._num_heads, geometry.head_dim), single)
        self._scratch.empty("sums", (_PARTS, self._num_heads), single)
        vocab = self._merged.num_logits
        self._logits = single.new_zeros((_WANTED_BUCKETS[-1], vocab))  # one for all graphs, which would have one each
        self._attended = like.new_zeros((rows, self._num_heads, geometry.head_dim))
        return _Buffers(self._device)

    def _compute(self, key: _Key, buffers: "_Buffers") -> None:
        narrow, wide, shared = (self._shape.num_programs * has for has in key.has_pieces)
        work = work_list(buffers.sections(key.num_rows), (narrow, wide, shared), _PARTS)
        tables = self._rope.halves(self._device)
        step = KernelStep(self._pool, work, self._shape, *tables, self._scratch, self._attended)
        hidden_TE = self._merged.hidden(buffers.ids[: key.num_rows], step)
        self._logits[: key.num_wanted] = self._merged.logits(hidden_TE, buffers.rows[: key.num_wanted])

    def _captured(self, key: _Key, buffers: "_Buffers") -> torch.cuda.CUDAGraph:
        """Capture the forward of a bucket; before that it runs once, since kernels are compiled as they are met.

        What it writes into the pool then is what it is to write there.
        """
        with _CAPTURING:
            stream = torch.cuda.Stream(self._device)
            stream.wait_stream(torch.cuda.current_stream(self._device))
            with torch.cuda.stream(stream):
                self._compute(key, buffers)
            torch.cuda.current_stream(self._device).wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            pool = next(iter(self._graphs.values())).pool() if self._graphs else None
            with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
                self._compute(key, buffers)
            return graph


def _on(device: torch.device) -> AbstractContextManager[Any]:
    """Triton launches on the current device, and streams are those of the current device."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def _key(num_rows: int, num_wanted: int, arrays: Arrays) -> _Key | None:
    """Return the smallest bucket that holds a forward, None if none does."""
    fits = max(arrays.counts) <= _PIECES and arrays.num_parts <= _PARTS
    fits = fits and all(section.size <= size for section, size in zip(arrays.sections, _sizes(), strict=True))
    rows, wanted = _least(_ROW_BUCKETS, num_rows), _least(_WANTED_BUCKETS, num_wanted)
    if not fits or rows is None or wanted is None:
        return None
    narrow, wide, shared = (count > 0 for count in arrays.counts)
    return _Key(rows, wanted, (narrow, wide, shared))


def _least(buckets: Sequence[int], number: int) -> int | None:
    return next((bucket for bucket in buckets if bucket >= number), None)


def _sizes() -> tuple[int, ...]:
    """Return how many words graphs have for every section of a work list."""
    rows, pieces = _ROW_BUCKETS[-1], (1 + _PIECES) * PIECE_FIELDS
    per_row = (rows, rows, MERGE_FIELDS * rows)
    return (*per_row, _KEYS, _KEYS, pieces, pieces, _MASK_WORDS, 2 * rows, 3 * _RUNS, _SHIFTS, pieces)


class _Buffers:
    """What graphs read: ids, wanted rows, and the sections of a work list, each at a fixed place.

    The sections that have the length of the rows come first; of the others only what is used is copied.
    """

    def __init__(self, device: torch.device) -> None:
        rows = _ROW_BUCKETS[-1]
        self._on_device = [torch.zeros(size, dtype=torch.int32, device=device) for size in _sizes()]
        is_pinned = device.type == "cuda"
        self._on_host = [torch.zeros(size, dtype=torch.int32, pin_memory=is_pinned) for size in _sizes()]
        self.ids = torch.zeros(rows, dtype=torch.int64, device=device)
        self.rows = torch.zeros(_WANTED_BUCKETS[-1], dtype=torch.int64, device=device)
        self._host_ids = torch.zeros(rows, dtype=torch.int64, pin_memory=is_pinned)
        self._host_rows = torch.zeros(_WANTED_BUCKETS[-1], dtype=torch.int64, pin_memory=is_pinned)
        self._copied = torch.cuda.Event() if is_pinned else None

    def sections(self, num_rows: int) -> list[torch.Tensor]:
        """Return the sections as a forward of `num_rows` reads them."""
        lengths = (num_rows, num_rows, MERGE_FIELDS * num_rows)
        return [
            *[section[:length] for section, length in zip(self._on_device[:3], lengths, strict=True)],
            *self._on_device[3:],
        ]

    def load(self, key: _Key, arrays: Arrays, ids_T: numpy.ndarray, rows_W: numpy.ndarray) -> None:
        """Copy a forward into the buffers; what is behind its rows is padding."""
        if self._copied is not None:
            self._copied.synchronize()  # what the last forward was given has left the host
        padding = (0, -1, 0)
        for number, array in enumerate(arrays.sections):
            host, used = self._on_host[number], array.size
            host[:used] = torch.from_numpy(numpy.asarray(array, dtype=numpy.int32))
            if number < len(padding):
                used = key.num_rows * (MERGE_FIELDS if number == 2 else 1)
                host[array.size : used] = padding[number]
            self._on_device[number][:used].copy_(host[:used], non_blocking=True)
        for host, there, values, length in (
            (self._host_ids, self.ids, ids_T, key.num_rows),
            (self._host_rows, self.rows, rows_W, key.num_wanted),
        ):
            host[: len(values)] = torch.from_numpy(values)
            host[len(values) : length] = 0
            there[:length].copy_(host[:length], non_blocking=True)
        if self._copied is not None:
            self._copied.record()
