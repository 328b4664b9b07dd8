"""`hotseat bench gamecore`, `capacity`, `throughput`, `load`: what the engine takes, beside what the device could do.

The last three, and `gamecore` without `--through`, time the cases of `python -m agent_runtime.engine.bench`.
"""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from agent_runtime.adapter_choice import adapter_named
from agent_runtime.commands.options import AdapterOption, JsonOption, ModelOption, say

if TYPE_CHECKING:
    from agent_runtime.bench.asked_model import AskedModel
    from agent_runtime.engine.bench.setting import BenchCase

GeometryOption = Annotated[
    str | None,
    typer.Option(metavar="NAME|FOLDER", help="In place of a model: llama-3.1-8b, or a folder with a config.json."),
]
RandomOption = Annotated[
    bool, typer.Option("--random-weights", help="Draw the weights: a geometry's always are, so may be a model's.")
]
DeviceOption = Annotated[str | None, typer.Option(help="cpu or cuda. Default: the GPU if there is one.")]
DtypeOption = Annotated[
    str | None, typer.Option(help="float32, bfloat16 or float16. Default: float32 on a CPU, bfloat16 on a GPU.")
]
WayOption = Annotated[
    str | None, typer.Option(help="kernels or torch. Default: our kernels on a GPU, plain torch on a CPU.")
]
ObservationOption = Annotated[int, typer.Option(min=1, help="Tokens that a turn asks.")]
SizeOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=NUMBER", help="A number of the case, as in sessions=16; may be given again."),
]
TurnsOption = Annotated[int, typer.Option(min=1, help="Measured turns, behind some that do not count.")]


def bench_gamecore(
    model: ModelOption = "embedded",
    adapter: AdapterOption = None,
    geometry: GeometryOption = None,
    random_weights: RandomOption = False,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            help="A model with the tokenizer of random weights. Default: the geometry folder's, or --model's."
        ),
    ] = None,
    through: Annotated[
        Literal["engine", "agent", "socket"],
        typer.Option(help="What a turn passes: tokens to scores, JSON to JSON, or all of that and a socket."),
    ] = "engine",
    blocks: Annotated[int, typer.Option(min=1, help="Blocks of the state.")] = 300,
    block_tokens: Annotated[int, typer.Option(min=1, help="Tokens of a block, in the mean.")] = 85,
    changed: Annotated[
        int | None, typer.Option(min=0, help="Blocks that change with a frame, through agent or socket. Default: 1.")
    ] = None,
    actions: Annotated[
        int | None,
        typer.Option(min=2, help="Actions to decide among, through agent or socket. Default: 16, or all there are."),
    ] = None,
    turns: TurnsOption = 50,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    way: WayOption = None,
    as_json: JsonOption = False,
) -> None:
    """Time turns over a game state of 300 blocks: the engine's, or the whole path beside the engine's."""
    asked = _asked(model, adapter, geometry, random_weights, tokenizer, device, dtype)
    if through == "engine":
        for name, value in (("changed", changed), ("actions", actions), ("tokenizer", tokenizer)):
            _refuse(f"--{name}", value, "it is for turns in words: name --through agent or socket, too")
        from agent_runtime.engine.bench.cases import gamecore

        _time(asked, gamecore(blocks, block_tokens), observation=50, turns=turns, way=way, as_json=as_json)
        return
    _refuse("--way", way, "a runtime takes the best way by itself: leave it out, or name --through engine")
    from agent_runtime.bench.gamecore import GamecoreWorkload, bench_gamecore

    workload = GamecoreWorkload(blocks, block_tokens, 1 if changed is None else changed, actions, turns)
    report = bench_gamecore(asked, workload, through, say)
    if as_json:
        print(json.dumps(report, indent=1))
        return
    from agent_runtime.commands.bench_output import print_case, print_heading

    print_heading(report)
    for case in report["cases"]:
        print_case(case)


def bench_capacity(
    model: ModelOption = "embedded",
    adapter: AdapterOption = None,
    geometry: GeometryOption = None,
    random_weights: RandomOption = False,
    size: SizeOption = None,
    observation: ObservationOption = 50,
    pool_gib: Annotated[float, typer.Option(min=0, help="A pool that holds more: it is filled with sessions.")] = 0.0,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    way: WayOption = None,
    as_json: JsonOption = False,
) -> None:
    """Open as many sessions as the pool holds, and have turns of all: nothing static is computed again."""
    asked = _asked(model, adapter, geometry, random_weights, None, device, dtype)
    cases = _sized("capacity:", size, asked)
    _time(asked, cases, observation=observation, turns=1, way=way, pool_gib=pool_gib, as_json=as_json)


def bench_throughput(
    model: ModelOption = "embedded",
    adapter: AdapterOption = None,
    geometry: GeometryOption = None,
    random_weights: RandomOption = False,
    size: SizeOption = None,
    observation: ObservationOption = 50,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    way: WayOption = None,
    as_json: JsonOption = False,
) -> None:
    """Time turns a second of many sessions, each of which sees another region; and the same by prefix reuse."""
    asked = _asked(model, adapter, geometry, random_weights, None, device, dtype)
    cases = _sized("throughput:", size, asked)
    _time(asked, cases, observation=observation, turns=1, way=way, as_json=as_json)


def bench_load(
    model: ModelOption = "embedded",
    adapter: AdapterOption = None,
    geometry: GeometryOption = None,
    random_weights: RandomOption = False,
    size: SizeOption = None,
    observation: ObservationOption = 50,
    turns: TurnsOption = 50,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    way: WayOption = None,
    as_json: JsonOption = False,
) -> None:
    """Time the turns of a session at a steady rate, alone and while another session starts cold."""
    asked = _asked(model, adapter, geometry, random_weights, None, device, dtype)
    cases = _sized("load:", size, asked)
    _time(asked, cases, observation=observation, turns=turns, way=way, as_json=as_json)


def _asked(
    model: str,
    adapter: str | None,
    geometry: str | None,
    random_weights: bool,
    tokenizer: str | None,
    device: str | None,
    dtype: str | None,
) -> "AskedModel":
    from agent_runtime.bench.asked_model import AskedModel

    asked = AskedModel(model, adapter_named(adapter), geometry, random_weights, tokenizer, device, dtype)
    if asked.is_random:
        _refuse("--adapter", adapter, "random weights have none: leave it out")
    else:
        _refuse("--tokenizer", tokenizer, "a model has its own: leave it out, or add --random-weights")
    return asked


def _refuse(option: str, value: object, why: str) -> None:
    if value is not None:
        from agent_runtime.engine.bench.errors import BadOption

        raise BadOption(option, why)


def _sized(part: str, said: Sequence[str] | None, asked: "AskedModel") -> Sequence["BenchCase"]:
    """Return cases in the sizes that are given, and where none is, in those that the device does in minutes."""
    from agent_runtime.engine.bench.cases import chosen
    from agent_runtime.engine.bench.errors import BadOption
    from agent_runtime.engine.bench.subject import device_of

    given = {}
    for each in said or ():
        name, separator, number = each.partition("=")
        if not separator:
            raise BadOption("--size", f"{each!r} is not of the form NAME=NUMBER, as in sessions=16")
        given[name] = number
    return chosen(part, given, on_cpu=device_of(asked.device).type == "cpu")


def _time(
    asked: "AskedModel",
    cases: Sequence["BenchCase"],
    *,
    observation: int,
    turns: int,
    way: str | None,
    as_json: bool,
    pool_gib: float = 0.0,
) -> None:
    """Time the engine's cases, and print each as soon as it is there."""
    from agent_runtime.bench.asked_model import subject_of
    from agent_runtime.commands.bench_output import print_case, print_heading
    from agent_runtime.engine.bench.running import Run, bench, way_of
    from agent_runtime.engine.bench.setting import served_sizes
    from agent_runtime.engine.garbage import leave_out_what_is_there

    subject = subject_of(asked)
    sizes = served_sizes(observation, turns, subject.device)

    def heard(found: dict[str, Any]) -> None:
        if "case" not in found:  # all is made, and nothing timed
            leave_out_what_is_there()
        if not as_json:
            (print_case if "case" in found else print_heading)(found)

    report = bench(Run(subject, cases, sizes, way_of(way, subject.device), pool_gib), heard, say)
    if as_json:
        print(json.dumps(report, indent=1))
