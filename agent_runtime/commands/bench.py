"""`hotseat bench`."""

import json
import sys
from typing import Annotated

import typer

from agent_runtime.adapter_choice import adapter_named
from agent_runtime.commands.bench_engine import bench_capacity, bench_gamecore, bench_load, bench_throughput
from agent_runtime.commands.options import AdapterOption, JsonOption, ModelOption, PoolOption

bench_app = typer.Typer(no_args_is_help=True, help="Measure, as ratios side by side in one run.")


@bench_app.command("turn")
def bench_turn(
    model: ModelOption = "embedded",
    adapter: AdapterOption = None,
    turns: Annotated[int, typer.Option(min=1, help="Measured turns per mode.")] = 30,
    pool_mib: PoolOption = 768,
    llama_server: Annotated[
        str | None, typer.Option(help="A llama.cpp server with the same model, that plays along: http://HOST:PORT.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Time one turn in every mode, and transformers itself, side by side."""
    from agent_runtime.bench.llama_server import LlamaServer
    from agent_runtime.bench.turn import Workload, bench_turn
    from agent_runtime.engine.loading import ModelSpec, load_model

    def tell(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    workload, llama = Workload(turns=turns, pool_mib=pool_mib), LlamaServer(llama_server) if llama_server else None
    report = bench_turn(load_model(ModelSpec(source=model, adapter=adapter_named(adapter))), workload, tell, llama)
    if as_json:
        print(json.dumps(report, indent=1))
        return
    for case in report["cases"]:
        times = case["ttft_ms"]
        print(f"{case['case']:>18}  {case['mode']:<46} mean {times['mean']:9.1f} ms   p95 {times['p95']:9.1f} ms")
    for name, ratio in report["ratios"].items():
        print(f"{name:>34}  {ratio:.3f}")


@bench_app.command("overhead")
def bench_overhead(
    model: ModelOption = "embedded",
    adapter: AdapterOption = None,
    turns: Annotated[int, typer.Option(min=1, help="Measured turns of each kind.")] = 60,
    as_json: JsonOption = False,
) -> None:
    """Time the runtime's own share of a turn, with 300 blocks and 25,000 tokens of text."""
    from agent_runtime.bench.overhead import bench_overhead
    from agent_runtime.engine.loading import ModelSpec, load_model

    report = bench_overhead(load_model(ModelSpec(source=model, adapter=adapter_named(adapter))), turns=turns)
    if as_json:
        print(json.dumps(report, indent=1))
        return
    for case in report["cases"]:
        stages = ", ".join(f"{name} {ms:.2f}" for name, ms in case["stages_ms"].items())
        print(f"{case['case']:>6}  p50 {case['overhead_ms']['p50']:.2f} ms   of which {stages}")


@bench_app.command("seats")
def bench_seats(
    model: ModelOption = "embedded",
    adapter: AdapterOption = None,
    envs: Annotated[int, typer.Option(min=1, help="Environments played side by side.")] = 16,
    rounds: Annotated[int, typer.Option(min=1, help="Measured steps of all environments, in each way.")] = 10,
    as_json: JsonOption = False,
) -> None:
    """Time act_many over many environments against as many calls of act, in turn."""
    from agent_runtime.bench.seats import SeatsWorkload, bench_seats
    from agent_runtime.engine.loading import ModelSpec, load_model

    def tell(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    report = bench_seats(
        load_model(ModelSpec(source=model, adapter=adapter_named(adapter))),
        SeatsWorkload(num_envs=envs, rounds=rounds),
        tell,
    )
    if as_json:
        print(json.dumps(report, indent=1))
        return
    for case in report["cases"]:
        times = case["ms_a_turn"]
        print(
            f"{case['mode']:>8}, {case['observation_tokens']:>3} tokens ({case['tokens_computed']:g} computed)  "
            f"apart {times['apart']:8.1f} ms   together {times['together']:8.1f} ms   ratio {case['ratio']:.2f}"
        )


bench_app.command("gamecore")(bench_gamecore)
bench_app.command("capacity")(bench_capacity)
bench_app.command("throughput")(bench_throughput)
bench_app.command("load")(bench_load)
