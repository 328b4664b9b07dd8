"""`python -m tests.agent_runtime.engine.gpu.small_shapes`: every kernel once on few tokens, in each dtype.

What a sanitizer watches: it slows kernels down a hundredfold, and shapes that end within a tile are those that could
read or write behind it. Nothing here needs a graph, which torch cannot capture where it takes memory from the driver.
"""

import sys
from collections.abc import Iterator

import torch

from agent_runtime.engine.gpu import sharing
from agent_runtime.engine.gpu.fused import add_and_norm, gated, norm
from agent_runtime.engine.gpu.likeliest import likeliest
from agent_runtime.engine.layout import Layout, lay_out
from agent_runtime.engine.span import NOTHING, Span
from tests.agent_runtime.engine.gpu.layers import DEVICE, Layer, error_of
from tests.agent_runtime.engine.gpu.ragged import LARGEST
from tests.agent_runtime.engine.worlds import view_of

NUM_SLOTS, NUM_POSITIONS = 300, 512
DTYPES = (torch.bfloat16, torch.float16, torch.float32)


def layouts_of(layer: Layer) -> Iterator[Layout]:
    """Yield few rows, many rows with blocks that are kept and answers, and sessions that share what they see."""
    runs = layer.blocks([7, 1, 33])
    view = view_of(runs)
    yield lay_out([Span([0], view.length, view)])
    fresh = layer.pool.acquire(21)
    encoded = Span([0] * 21, 0, NOTHING, keep=fresh)
    seen = view_of([*runs, fresh])
    observation = Span([0] * 37, seen.length, seen)
    yield lay_out([encoded, observation, Span([0] * 2, seen.length + 37, seen, parent=observation)])
    world = layer.blocks([130, 90])
    views = [view_of([run, *(world if number % 2 else world[::-1])]) for number, run in enumerate(2 * runs)]
    yield lay_out([Span([0] * 2, each.length, each) for each in views])


def errors_of(dtype: torch.dtype, head_dim: int) -> list[float]:
    """Return what attention is off by from float64, forward by forward."""
    layer = Layer.of(4, 2, head_dim, dtype, num_slots=NUM_SLOTS, num_positions=NUM_POSITIONS)
    found = []
    for layout in layouts_of(layer):
        rows = layer.rows(layout)
        # Split among more programs than there is work, and among one.
        for num_multiprocessors in (1, 8):
            found.append(error_of(layer.attend(layout, rows, num_multiprocessors), layer.exact(layout, rows)))
    return found


def run_fused(dtype: torch.dtype, size: int) -> bool:
    """Run the kernels beside attention; return whether all they gave is finite, and the likeliest token right."""
    residual, x, weight = (torch.randn(*shape).to(dtype).to(DEVICE) for shape in ((3, size), (3, size), (size,)))
    found = [norm(residual, weight, 1e-5), *add_and_norm(residual, x, weight, 1e-5), gated(torch.cat((x, x), 1))]
    logits = torch.randn(3, 1024 + size).to(DEVICE)
    is_right = likeliest(logits).tolist() == logits.argmax(-1).tolist()
    return is_right and all(bool(each.isfinite().all()) for each in found)


def main(dtypes: tuple[torch.dtype, ...] = DTYPES, head_dims: tuple[int, ...] = (64, 96, 128)) -> int:
    """Run everything, and print a line for each dtype; return 1 if a result is wrong."""
    sharing._LEAST_SAVED = 4  # so little is never shared but here
    is_right = True
    for dtype in dtypes:
        errors = [error for head_dim in head_dims for error in errors_of(dtype, head_dim)]
        is_good = max(errors) <= LARGEST[dtype] and run_fused(dtype, 72)
        print(
            f"{dtype}: {len(errors)} forwards, at most {max(errors):.1e} off{'' if is_good else ': wrong'}", flush=True
        )
        is_right &= is_good
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(main())
