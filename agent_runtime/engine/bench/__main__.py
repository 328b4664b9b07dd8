"""`python -m agent_runtime.engine.bench`: what turns take on one device, beside what the device could do.

Cases are times to the first token, and cold starts, decode steps and crowds of sessions. `--size sessions=16` changes a
number of those whose names say none.
"""

import argparse
import json
import platform
from collections.abc import Sequence
from typing import Any

import torch
import transformers
from transformers import PreTrainedConfig

from agent_runtime.engine import attention
from agent_runtime.engine.bench.cases import chosen
from agent_runtime.engine.bench.floors import measure_floors
from agent_runtime.engine.bench.geometry import Bare, bare_model, config_of, kv_geometry
from agent_runtime.engine.bench.setting import BenchCase, Setting, Sizes
from agent_runtime.engine.devices import fitting, require_device
from agent_runtime.engine.errors import EngineError, NoCuda
from agent_runtime.engine.forward import ForwardRunner
from agent_runtime.engine.span import NOTHING, Span, view_of_blocks

# Blocks over which a way is checked against plain torch before it is timed: those are encoded, and a long one stands
# there already, which kernels read another way.
_CHECKED, _STORED = (40, 85, 1, 200, 33), 6000
_CHECKED_TOKENS = sum(_CHECKED) + _STORED
_WAYS = {"kernels": attention.BY_KERNELS, "torch": attention.MOVE_KEYS}


def main(words: Sequence[str] | None = None) -> None:
    """Check the way against plain torch, time every case, and print a line each, or JSON."""
    parser = _parser()
    arguments = parser.parse_args(words)
    try:
        require_device(arguments.device, None)
        cases = chosen(arguments.case, dict(arguments.size))
        config = config_of(arguments.geometry)
    except (OSError, LookupError, ValueError, NoCuda) as error:
        parser.error(str(error))
    try:
        with fitting(f"What {arguments.geometry} takes here", "Take a smaller --geometry, --pool-gib or --case."):
            _time(arguments, cases, config)
    except EngineError as error:
        parser.error(str(error))


def _time(arguments: argparse.Namespace, cases: Sequence[BenchCase], config: PreTrainedConfig) -> None:
    device = torch.device(arguments.device)
    dtype = getattr(torch, arguments.dtype)
    sizes = Sizes(arguments.observation, arguments.turns, arguments.max_rows, arguments.quiet_rows)
    needed = max(case.slots(sizes) for case in cases) + _CHECKED_TOKENS + sizes.tail_slots
    room = int(arguments.pool_gib * 2**30) // kv_geometry(config, device, dtype).bytes_per_token
    bare = bare_model(config, max(needed, room), device, dtype)
    floors = measure_floors(device, dtype, scale=1.0 if device.type == "cuda" else 0.01)
    report: dict[str, Any] = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "geometry": arguments.geometry,
        "dtype": arguments.dtype,
        "way": arguments.way,
        "floors": floors.report(),
        "largest_difference": _difference(bare, arguments.way) if arguments.way != "torch" else 0.0,
        "cases": [],
    }
    if not arguments.json:
        print(json.dumps({key: value for key, value in report.items() if key != "cases"}), flush=True)
    runner = ForwardRunner(bare.model, bare.pool, bare.rope, way=_WAYS[arguments.way], max_rows=sizes.max_rows)
    setting = Setting(runner, bare, floors, sizes)
    for case in cases:
        found = case.measure(setting)
        report["cases"].append(found)
        if not arguments.json:
            print(json.dumps(found), flush=True)
    if arguments.json:
        print(json.dumps(report))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m agent_runtime.engine.bench", description=__doc__)
    parser.add_argument("--geometry", default="llama-3.1-8b", help="a known one, or a folder with a config.json")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", default="bfloat16" if torch.cuda.is_available() else "float32")
    parser.add_argument("--way", choices=list(_WAYS), default="kernels" if torch.cuda.is_available() else "torch")
    parser.add_argument("--case", default="", help="only cases whose names hold this")
    parser.add_argument("--observation", type=int, default=50, help="its tokens")
    parser.add_argument("--turns", type=int, default=50)
    parser.add_argument("--max-rows", type=int, default=512, help="rows of a forward that turns join")
    parser.add_argument("--quiet-rows", type=int, default=8192, help="rows of a forward of blocks alone")
    parser.add_argument("--pool-gib", type=float, default=0.0, help="the pool's size, where cases need less")
    sized = "of the cases that have it"
    parser.add_argument("--size", action="append", type=_size, default=[], metavar="NAME=NUMBER", help=sized)
    parser.add_argument("--json", action="store_true")
    return parser


def _size(text: str) -> tuple[str, str]:
    name, sign, number = text.partition("=")
    if not sign:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=NUMBER")
    return name, number


def _difference(bare: Bare, way: str) -> float:
    """Return how far scores in a way are from those of plain torch, relative to the largest of them."""
    runs = [bare.pool.acquire(length) for length in _CHECKED]
    stored = bare.pool.acquire(_STORED)
    view = view_of_blocks([*runs, stored], anchored=False)
    asked = Span(list(range(5, 55)), view.behind, view, wanted="all")
    scores = []
    for each in (attention.MOVE_KEYS, _WAYS[way]):
        runner = ForwardRunner(bare.model, bare.pool, bare.rope, way=each)
        spans = [Span(list(range(7, 7 + run.length)), 0, NOTHING, keep=run) for run in runs]
        scores.append(runner.run([*spans, asked])[asked])
        runner.close()
    for run in (*runs, stored):
        bare.pool.release(run)
    return float((scores[0] - scores[1]).abs().max() / scores[0].abs().max())


if __name__ == "__main__":
    main()
