"""`python -m agent_runtime.engine.bench.kernels`: one layer's attention by the kernels alone, and which tiles are best.

Times are those of a CUDA graph of all layers there are, divided by their number, beside what the bytes and operations
of a layer take at the least. `--sweep wide` (narrow, shared) tries other tiles for one kernel, the best last;
`--wide 64,64,4,2,2` takes one: query rows, keys, warps, stages, programs of a multiprocessor (`engine/gpu/tiling.py`).
"""

import argparse
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import astuple, replace
from typing import Any

import torch

from agent_runtime.engine.bench.floors import Floors, best_of, measure_floors
from agent_runtime.engine.bench.ttft import CASES, Case
from agent_runtime.engine.gpu.attention import KernelStep, attend_rows, shape_of
from agent_runtime.engine.gpu.planning import plan_work
from agent_runtime.engine.gpu.support import specialises
from agent_runtime.engine.gpu.tiling import Tile, Tiling, tiling_of
from agent_runtime.engine.kv_geometry import KVGeometry
from agent_runtime.engine.layout import Layout, lay_out
from agent_runtime.engine.pool import Pool
from agent_runtime.engine.rope import RotaryTable
from agent_runtime.engine.span import NOTHING, Span, view_of_blocks
from agent_runtime.engine.step import Scratch

_KINDS = ("narrow", "wide", "shared")
# What a sweep tries: query rows, keys, warps, stages, programs.
_SWEPT = {
    "narrow": [
        (16, keys, 4, stages, programs) for keys in (32, 64, 128) for stages, programs in ((2, 3), (3, 3), (2, 4))
    ],
    "wide": [
        (64, 64, 4, 2, 2),
        (64, 32, 4, 2, 2),
        (64, 32, 4, 3, 3),
        (128, 64, 8, 2, 1),
        (128, 64, 8, 3, 1),
        (128, 32, 8, 2, 1),
        (128, 32, 8, 3, 1),
    ],
    "shared": [
        (64, 64, 4, 2, 2),
        (64, 64, 4, 3, 2),
        (64, 128, 4, 2, 1),
        (128, 64, 8, 2, 1),
        (128, 64, 8, 3, 1),
        (128, 64, 8, 4, 1),
        (128, 128, 8, 2, 1),
        (128, 32, 8, 4, 1),
    ],
}
_CONTEXT = 131_072


def main(words: Sequence[str] | None = None) -> None:
    """Time every case with the tiles that are asked for, and print a JSON line each."""
    parser = _parser()
    arguments = parser.parse_args(words)
    device = torch.empty(0, device=arguments.device).device
    dtype = getattr(torch, arguments.dtype)
    cases = [case for case in CASES if arguments.case in case.name and case.num_static]
    if not cases:
        parser.error(f"no case is called {arguments.case!r}: {'; '.join(case.name for case in CASES)}")
    tiling = tiling_of(dtype, arguments.head_dim, specialised=arguments.specialised and specialises(device))
    for kind in _KINDS:
        if (given := getattr(arguments, kind)) is not None:
            rows, keys, warps, stages, programs = map(int, given.split(","))
            tiling = tiling._replace(**{kind: Tile(rows, keys, warps, stages, programs)})
    tilings = [tiling]
    if arguments.sweep is not None:
        tilings = [tiling._replace(**{arguments.sweep: Tile(*each)}) for each in _SWEPT[arguments.sweep]]
    floors = measure_floors(device, dtype, scale=1.0 if device.type == "cuda" else 0.01)
    for case in cases:
        layer = _Layer(case, arguments.heads, arguments.groups, arguments.head_dim, dtype, device, arguments.layers)
        found = [layer.measured(each, arguments.observation, floors) for each in tilings]
        for each in sorted(found, key=lambda each: -each.get("us", float("inf"))):
            print(json.dumps(each), flush=True)


def _parser() -> argparse.ArgumentParser:
    is_there = torch.cuda.is_available()
    parser = argparse.ArgumentParser(prog="python -m agent_runtime.engine.bench.kernels", description=__doc__)
    parser.add_argument("--device", default="cuda" if is_there else "cpu")
    parser.add_argument("--dtype", default="bfloat16" if is_there else "float32")
    parser.add_argument("--case", default="", help="only cases whose names hold this")
    parser.add_argument("--heads", type=int, default=32)
    parser.add_argument("--groups", type=int, default=8, help="key heads")
    parser.add_argument("--head-dim", type=int, default=128)
    parser.add_argument("--layers", type=int, default=8, help="layers of a graph, so that no cache holds what is read")
    parser.add_argument("--observation", type=int, default=50, help="its tokens")
    parser.add_argument("--sweep", choices=_KINDS)
    parser.add_argument(
        "--no-specialised", dest="specialised", action="store_false", help="without the kernel that is Hopper's alone"
    )
    for kind in _KINDS:
        parser.add_argument(f"--{kind}", metavar="ROWS,KEYS,WARPS,STAGES,PROGRAMS")
    return parser


class _Layer:
    """The layers of one case, whose keys, values and rows are random."""

    def __init__(
        self,
        case: Case,
        num_heads: int,
        num_groups: int,
        head_dim: int,
        dtype: torch.dtype,
        device: torch.device,
        num_layers: int,
    ) -> None:
        self._case, self._num_heads = case, num_heads
        self._pool = Pool(KVGeometry(num_groups, head_dim, dtype, (device,) * num_layers), case.num_slots)
        for layer in (*self._pool.keys, *self._pool.values):
            layer.normal_()
        self._rope = RotaryTable(10_000.0 ** -(torch.arange(0, head_dim, 2) / head_dim), _CONTEXT)

    def measured(self, tiling: Tiling, observation: int, floors: Floors) -> dict[str, Any]:
        """Return the microseconds of one layer with some tiles, or why there are none."""
        geometry = self._pool.geometry
        device = geometry.devices[0]
        tiles = {kind: astuple(tile) for kind, tile in zip(_KINDS, tiling, strict=True)}
        said = {"case": self._case.name, **tiles}
        layout = self._layout(observation)
        shape = replace(shape_of(self._pool, self._rope, self._num_heads, device), tiling=tiling)
        arrays = plan_work(layout, shape)
        step = KernelStep(self._pool, arrays.on(device), shape, *self._rope.halves(device), Scratch())
        heads = self._num_heads + 2 * geometry.num_kv_heads
        rows = torch.randn(layout.num_rows, heads, geometry.head_dim, device=device).to(geometry.dtype)
        q_THD, k_TGD, v_TGD = rows.split([self._num_heads, geometry.num_kv_heads, geometry.num_kv_heads], 1)

        def attend_all() -> None:
            for layer in range(geometry.num_layers):
                attend_rows(step, layer, q_THD, k_TGD, v_TGD, geometry.head_dim**-0.5)

        try:
            seconds = best_of(_graphed(attend_all, device), device) / geometry.num_layers
        except Exception as error:  # more shared memory than there is, for one
            return said | {"error": f"{type(error).__name__}: {str(error)[:120]}"}
        per_token = geometry.bytes_per_token / geometry.num_layers
        seen = self._case.num_seen(observation)
        operations = 4 * self._num_heads * geometry.head_dim * seen
        floor = floors.seconds(self._case.num_static * per_token, operations)
        counts = dict(zip(_KINDS, arrays.counts, strict=True))
        found = {"us": round(1e6 * seconds, 1), "floor_us": round(1e6 * floor, 1), "items": counts}
        return (
            said | found | {"ratio_to_floor": round(seconds / floor, 2), "TFLOP_s": round(operations / seconds / 1e12)}
        )

    def _layout(self, observation: int) -> Layout:
        case = self._case
        runs = [self._pool.acquire(case.block_tokens) for _ in range(case.num_blocks)]
        orders = [random.Random(seed).sample(runs, len(runs)) for seed in range(case.sessions)]
        views = [view_of_blocks(order, anchored=False) for order in orders]
        count = case.num_asked(observation)
        spans = [Span([0] * case.block_tokens, 0, NOTHING, keep=run) for run in runs[: case.encoded]]
        asked = [Span([0] * count, view.behind, view) for view in views]
        for each in asked:
            end = each.start + count
            actions = range(case.num_actions)
            spans += [each, *[Span([0] * case.action_tokens, end, each.view, parent=each) for _ in actions]]
        for run in runs:
            self._pool.release(run)
        return lay_out(spans)


def _graphed(work: Callable[[], None], device: torch.device) -> Callable[[], object]:
    """Return what does the work as one graph, so that launches cost nothing."""
    if device.type != "cuda":
        return work
    stream = torch.cuda.Stream(device)
    with torch.cuda.stream(stream):
        work()
    torch.cuda.synchronize(device)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        work()
    return graph.replay


if __name__ == "__main__":
    main()
