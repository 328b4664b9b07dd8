"""`python -m agent_runtime.engine.bench`: what turns take on one device, beside what the device could do.

Cases are times to the first token, and cold starts, decode steps and crowds of sessions. `--size sessions=16` changes a
number of those whose names say none.
"""

import argparse
import json
from collections.abc import Sequence
from typing import Any

from agent_runtime.engine.bench.cases import chosen
from agent_runtime.engine.bench.checking import WAYS
from agent_runtime.engine.bench.geometry import config_of
from agent_runtime.engine.bench.running import Run, bench, way_of
from agent_runtime.engine.bench.setting import Sizes
from agent_runtime.engine.bench.subject import Subject, device_of, dtype_of
from agent_runtime.engine.errors import EngineError
from agent_runtime.engine.garbage import leave_out_what_is_there, look_seldom


def main(words: Sequence[str] | None = None) -> None:
    """Check the way against plain torch, time every case, and print a line each, or JSON; exit code 2 if it cannot."""
    parser = _parser()
    arguments = parser.parse_args(words)
    sizes = Sizes(arguments.observation, arguments.turns, arguments.max_rows, arguments.quiet_rows)

    def heard(found: dict[str, Any]) -> None:
        if "case" not in found:  # all is made, and nothing timed
            leave_out_what_is_there()
        if not arguments.json:
            print(json.dumps(found), flush=True)

    try:
        device = device_of(arguments.device)
        subject = Subject(arguments.geometry, config_of(arguments.geometry), device, dtype_of(arguments.dtype, device))
        cases = chosen(arguments.case, dict(arguments.size))
        report = bench(Run(subject, cases, sizes, way_of(arguments.way, device), arguments.pool_gib), heard)
    except EngineError as error:
        parser.error(str(error))
    if arguments.json:
        print(json.dumps(report))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m agent_runtime.engine.bench", description=__doc__)
    parser.add_argument("--geometry", default="llama-3.1-8b", help="a known one, or a folder with a config.json")
    parser.add_argument("--device", help="cpu or cuda; without it the GPU if there is one")
    parser.add_argument("--dtype", help="float32 on a CPU, bfloat16 on a GPU")
    parser.add_argument("--way", choices=list(WAYS), help="our kernels on a GPU, plain torch on a CPU")
    parser.add_argument("--case", default="", help="only cases whose names hold this")
    parser.add_argument("--observation", type=_positive, default=50, help="its tokens")
    parser.add_argument("--turns", type=_positive, default=50)
    parser.add_argument("--max-rows", type=_positive, default=512, help="rows of a forward that turns join")
    parser.add_argument("--quiet-rows", type=_positive, default=8192, help="rows of a forward of blocks alone")
    parser.add_argument("--pool-gib", type=float, default=0.0, help="the pool's size, where cases need less")
    sized = "of the cases that have it"
    parser.add_argument("--size", action="append", type=_size, default=[], metavar="NAME=NUMBER", help=sized)
    parser.add_argument("--json", action="store_true")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above zero")
    return int(text)


def _size(text: str) -> tuple[str, str]:
    name, sign, number = text.partition("=")
    if not sign:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=NUMBER")
    return name, number


if __name__ == "__main__":
    look_seldom()
    main()
