"""One layer's attention by the kernels and in float64, over rows and blocks of random numbers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy
import torch
import torch.nn.functional as F

from agent_runtime.engine.gpu import attention as gpu
from agent_runtime.engine.gpu.planning import plan_work
from agent_runtime.engine.gpu.support import specialises
from agent_runtime.engine.gpu.tiling import tiling_of
from agent_runtime.engine.gpu.work_list import Shape
from agent_runtime.engine.kv_geometry import KVGeometry
from agent_runtime.engine.layout import Layout, groups_of, lay_out, visible
from agent_runtime.engine.pool import Pool
from agent_runtime.engine.rope import RotaryTable
from agent_runtime.engine.runs import Run
from agent_runtime.engine.span import Span

# With its number, as tensors name it.
DEVICE = torch.empty(0, device="cuda" if torch.cuda.is_available() else "cpu").device


@dataclass
class Layer:
    """A layer whose keys and values are random, and whose pool already holds blocks."""

    num_heads: int
    pool: Pool
    rope: RotaryTable
    generator: torch.Generator
    inv_freq: torch.Tensor

    @classmethod
    def of(
        cls,
        num_heads: int = 4,
        num_groups: int = 2,
        head_dim: int = 64,
        dtype: torch.dtype = torch.float32,
        num_slots: int = 4096,
        num_positions: int = 8192,
        seed: int = 0,
    ) -> "Layer":
        generator = torch.Generator().manual_seed(seed)
        inv_freq = 10000.0 ** -(torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)
        pool = Pool(KVGeometry(num_groups, head_dim, dtype, (DEVICE,)), num_slots)
        layer = cls(num_heads, pool, RotaryTable(inv_freq, num_positions), generator, inv_freq)
        pool.keys[0].copy_(layer.random(pool.keys[0].shape))
        pool.values[0].copy_(layer.random(pool.values[0].shape))
        return layer

    @property
    def dtype(self) -> torch.dtype:
        return self.pool.geometry.dtype

    def random(self, shape: Sequence[int]) -> torch.Tensor:
        return torch.randn(*shape, generator=self.generator).to(self.dtype).to(DEVICE)

    def blocks(self, lengths: Sequence[int]) -> list[Run]:
        return [self.pool.acquire(length) for length in lengths]

    def rows(self, layout: Layout) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return un-rotated queries [1, H, T, D], keys and values [1, G, T, D], as transformers hands them over."""
        groups, dim = self.pool.geometry.num_kv_heads, self.pool.geometry.head_dim
        shapes = [(1, layout.num_rows, heads, dim) for heads in (self.num_heads, groups, groups)]
        q, k, v = (self.random(shape).transpose(1, 2) for shape in shapes)
        return q, k, v

    def shape(self, num_multiprocessors: int = 8) -> Shape:
        geometry = self.pool.geometry
        groups = geometry.num_kv_heads
        tiling = tiling_of(geometry.dtype, geometry.head_dim, specialised=specialises(DEVICE))
        return Shape(self.num_heads // groups, groups, self.rope.num_positions, tiling, num_multiprocessors)

    def attend(
        self, layout: Layout, rows: tuple[torch.Tensor, torch.Tensor, torch.Tensor], num_multiprocessors: int = 8
    ) -> torch.Tensor:
        """Return what the kernels make of it, [T, H, D]."""
        shape = self.shape(num_multiprocessors)
        work = plan_work(layout, shape).on(DEVICE)
        step = gpu.KernelStep(self.pool, work, shape, *self.rope.halves(DEVICE))
        module: Any = SimpleNamespace(layer_idx=0)
        out, _ = gpu.by_kernels(module, *rows, None, steps={DEVICE: step}, is_stopped=lambda: False)
        return out[0]

    def exact(self, layout: Layout, rows: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """Return the same in float64, one bundle at a time, [T, H, D], on `DEVICE`."""
        q, k, v = (each[0].transpose(0, 1).double() for each in rows)
        starts = _positions(layout)
        q, k = self._turned(q, starts), self._turned(k, starts)
        keys, values = self.pool.keys[0], self.pool.values[0]
        out = torch.empty_like(q)
        repeats = self.num_heads // keys.shape[1]
        for slots, shifts, here, sees in _bundles(layout):
            seen_k, seen_v = self._turned(keys[slots].double(), shifts), values[slots].double()
            all_k = torch.cat((seen_k, k[here])).repeat_interleave(repeats, 1)
            all_v = torch.cat((seen_v, v[here])).repeat_interleave(repeats, 1)
            scores = torch.einsum("qhd,khd->hqk", q[here], all_k) * q.shape[-1] ** -0.5
            scores = scores.masked_fill(~sees, -torch.inf)
            out[here] = torch.einsum("hqk,khd->qhd", scores.softmax(-1), all_v)
        return out

    def by_torch(self, layout: Layout, rows: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """Return the same by torch's own attention, every key rotated in float32 and rounded once, [T, H, D]."""
        q, k, v = (each[0].transpose(0, 1) for each in rows)
        turned = self.rope.at(_positions(layout))
        q, k = turned.apply(q), turned.apply(k)
        keys, values = self.pool.keys[0], self.pool.values[0]
        out = torch.empty_like(q)
        repeats = self.num_heads // keys.shape[1]
        for slots, shifts, here, sees in _bundles(layout):
            all_k = torch.cat((self.rope.at(shifts).apply(keys[slots]), k[here])).repeat_interleave(repeats, 1)
            all_v = torch.cat((values[slots], v[here])).repeat_interleave(repeats, 1)
            parts = (each.transpose(0, 1)[None] for each in (q[here], all_k, all_v))
            out[here] = F.scaled_dot_product_attention(*parts, attn_mask=sees)[0].transpose(0, 1)
        return out

    def _turned(self, x: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
        angle = by[:, None].double() * self.inv_freq.to(x.device)
        cos, sin = angle.cos()[:, None], angle.sin()[:, None]
        x1, x2 = x.chunk(2, -1)
        return torch.cat((x1 * cos - x2 * sin, x2 * cos + x1 * sin), -1)


def _positions(layout: Layout) -> torch.Tensor:
    """Return the local position of every row, int64 [T], on `DEVICE`."""
    starts = [numpy.arange(span.start, span.start + len(span.ids)) for span in layout.spans]
    return torch.from_numpy(numpy.concatenate(starts)).to(DEVICE)


def _bundles(layout: Layout) -> Iterator[tuple[torch.Tensor, torch.Tensor, slice, torch.Tensor]]:
    """Yield what each bundle attends to: slots, how far their keys move, its rows, and which row sees what [Q, K]."""
    for group in groups_of(layout):
        slots, shifts = (torch.from_numpy(each).to(DEVICE) for each in (group.view.slots, group.view.shifts))
        for bundle in group.bundles:
            own = torch.from_numpy(visible(bundle.spans, layout)).to(DEVICE)
            static = torch.ones(len(own), len(slots), dtype=torch.bool, device=DEVICE)
            yield slots, shifts, slice(bundle.first, bundle.stop), torch.cat((static, own), 1)


def laid_out(*spans: Span) -> Layout:
    return lay_out(spans)


def error_of(ours: torch.Tensor, exact: torch.Tensor) -> float:
    """Return the relative error of the whole."""
    return float((ours.double() - exact).norm() / exact.norm())
