"""The command `hotseat`. Flags map one to one to settings; what a command does lives in its own package.

Heavy imports happen inside the commands, so that `--help` answers at once.
"""

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from agent_runtime.errors import HotseatError
from agent_runtime.turn import Mode

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="LLM agents for games."
)
store_app = typer.Typer(no_args_is_help=True, help="Look into a store of blocks on disk.")
bench_app = typer.Typer(no_args_is_help=True, help="Measure, as ratios side by side in one run.")
app.add_typer(store_app, name="store")
app.add_typer(bench_app, name="bench")

ModelOption = Annotated[str, typer.Option(help="embedded, a model folder, a GGUF file, or a hub name.")]
AdapterOption = Annotated[Path | None, typer.Option(help="A LoRA folder, merged into the weights.")]
PoolOption = Annotated[int, typer.Option(min=1, help="Memory for keys and values, in MiB.")]
GamesOption = Annotated[list[Path] | None, typer.Option(help="A folder of game folders; may be given again.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
StoreArgument = Annotated[Path, typer.Argument(help="The store's folder.")]


def main() -> None:
    """Run the command line; a typed error becomes one sentence and exit code 2."""
    try:
        app()
    except Exception as error:
        if not isinstance(error, HotseatError) and not _is_of_a_room(error):
            raise
        print(f"hotseat: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def _is_of_a_room(error: Exception) -> bool:
    from game_adapters import GameAdapterError
    from kv_store import StoreError
    from prompts import PromptsError

    return isinstance(error, (GameAdapterError, StoreError, PromptsError))


@app.command()
def serve(
    config: Annotated[
        Path | None, typer.Option(help="A TOML file of settings; a flag given here wins over it.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="embedded (default), a model folder, a GGUF file, a hub name.")
    ] = None,
    adapter: AdapterOption = None,
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16, ...; default: what suits the device.")] = None,
    device_map: Annotated[str | None, typer.Option(help="Passed to transformers, as auto.")] = None,
    mode: Annotated[str | None, typer.Option(help="auto (default), star, anchored, full, prefix.")] = None,
    games: GamesOption = None,
    store: Annotated[Path | None, typer.Option(help="Where matches live on disk; without it nothing lasts.")] = None,
    store_budget_mib: Annotated[int | None, typer.Option(min=1, help="The oldest blocks go beyond this.")] = None,
    record: Annotated[Path | None, typer.Option(help="Record every match into this folder.")] = None,
    host: Annotated[str, typer.Option(help="The address to listen on; any but loopback needs a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free port.")] = 8765,
    token: Annotated[str | None, typer.Option(envvar="HOTSEAT_TOKEN", help="What clients must show.")] = None,
    allow_origin: Annotated[list[str] | None, typer.Option(help="A web page that may connect: https://...")] = None,
    pool_mib: Annotated[int | None, typer.Option(min=1, help="Memory for keys and values (default 2048).")] = None,
) -> None:
    """Serve matches over WebSocket (protocol hotseat.v1) until SIGINT or SIGTERM."""
    from agent_runtime.config import RuntimeSettings, read_settings
    from agent_runtime.server.access import check_start
    from agent_runtime.server.binding import bound
    from agent_runtime.server.config import ServerConfig
    from agent_runtime.server.lifecycle import serve as serve_until_signal

    listening = ServerConfig(host=host, port=port, token=token, allowed_origins=tuple(allow_origin or ()))
    settings = (read_settings(config) if config is not None else RuntimeSettings()).changed(
        source=model,
        adapter=adapter,
        dtype=dtype,
        device_map=device_map,
        mode=None if mode is None else _mode(mode),
        games=None if games is None else tuple(games),
        folder=store,
        budget_mib=store_budget_mib,
        pool_mib=pool_mib,
    )
    # Before anything is loaded: a refusal should not take half a minute.
    check_start(listening)
    with bound(listening) as sockets:
        from agent_runtime.composition import open_runtime
        from agent_runtime.replay.recording import MatchRecorder

        _say_that_it_loads()
        runtime = open_runtime(settings)
        recorder = MatchRecorder(record, digests=runtime.digests) if record else None
        serve_until_signal(runtime, listening, recorder=recorder, sockets=sockets)


def _say_that_it_loads() -> None:
    """Loading is slow and says nothing; only at a terminal may it draw bars."""
    print("Loading the model: 5 to 20 seconds for the embedded one, a minute at its first start.", file=sys.stderr)
    if not sys.stderr.isatty():
        from transformers.utils import logging

        logging.disable_progress_bar()


def _mode(name: str) -> Mode | Literal["auto"]:
    if name == "auto":
        return "auto"
    if name in tuple(Mode):
        return Mode(name)
    raise typer.BadParameter(f"{name!r} is none of auto, {', '.join(Mode)}", param_hint="--mode")


@bench_app.command("turn")
def bench_turn(
    model: ModelOption = "embedded",
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
    report = bench_turn(load_model(ModelSpec(source=model)), workload, tell, llama)
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
    turns: Annotated[int, typer.Option(min=1, help="Measured turns of each kind.")] = 60,
    as_json: JsonOption = False,
) -> None:
    """Time the runtime's own share of a turn, with 300 blocks and 25,000 tokens of text."""
    from agent_runtime.bench.overhead import bench_overhead
    from agent_runtime.engine.loading import ModelSpec, load_model

    report = bench_overhead(load_model(ModelSpec(source=model)), turns=turns)
    if as_json:
        print(json.dumps(report, indent=1))
        return
    for case in report["cases"]:
        stages = ", ".join(f"{name} {ms:.2f}" for name, ms in case["stages_ms"].items())
        print(f"{case['case']:>6}  p50 {case['overhead_ms']['p50']:.2f} ms   of which {stages}")


@app.command()
def replay(
    recording: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A file that --record has written.")],
    mode: Annotated[
        list[str], typer.Option(help="Modes to compare, separated by commas; one named twice shows the noise.")
    ] = ["full,prefix,star"],  # noqa: B006  typer reads it and changes nothing
    model: ModelOption = "embedded",
    adapter: AdapterOption = None,
    games: GamesOption = None,
    pool_mib: PoolOption = 512,
    seed: Annotated[int, typer.Option(help="Draws the order of the modes at each turn.")] = 0,
    verify: Annotated[bool, typer.Option(help="Refuse a recording that was edited.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Play a recording again in several modes, turn by turn side by side; nothing is written."""
    from agent_runtime.replay.replay_command import print_replay
    from agent_runtime.replay.replayer import ReplayOptions

    names = [name.strip() for names in mode for name in names.split(",")]
    if unknown := [name for name in names if name not in tuple(Mode)]:
        raise typer.BadParameter(f"{unknown[0]!r} is none of {', '.join(Mode)}", param_hint="--mode")
    options = ReplayOptions(tuple(map(Mode, names)), tuple(games or ()), pool_mib, seed, verify)
    _say_that_it_loads()
    print_replay(recording, model, adapter, options, as_json)


@app.command()
def demo(
    model: ModelOption = "embedded",
    folder: Annotated[Path | None, typer.Option(help="A new folder to keep store and recordings in.")] = None,
    fast: Annotated[bool, typer.Option("--fast", help="Fewer hands, fewer blocks, fewer turns.")] = False,
) -> None:
    """Watch agents play over a real WebSocket, a killed server resume from disk, and all modes side by side."""
    from agent_runtime.demo import DemoOptions, run_demo
    from agent_runtime.demo.screen import Screen

    run_demo(DemoOptions.fast(model, folder) if fast else DemoOptions(model, folder), Screen())


@store_app.command("ls")
def store_ls(folder: StoreArgument, as_json: JsonOption = False) -> None:
    """List the matches in a store: packs, blocks, bytes, last use. Works beside a running server."""
    from agent_runtime.store_command import print_listing

    print_listing(folder, as_json)


@store_app.command("check")
def store_check(
    folder: StoreArgument,
    repair: Annotated[bool, typer.Option(help="Rebuild the index from the packs and drop what is damaged.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Verify every checksum and reconcile packs with the index. Exit code 1 if anything is wrong."""
    from agent_runtime.store_command import print_check

    raise typer.Exit(0 if print_check(folder, repair, as_json) else 1)


if __name__ == "__main__":
    main()
