"""The command `hotseat`. Flags map one to one to settings; what a command does lives in its own package.

Heavy imports happen inside the commands, so that `--help` answers at once.
"""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

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
    from kv_store import StoreError
    from prompts import PromptsError

    try:
        app()
    except (HotseatError, StoreError, PromptsError) as error:
        print(f"hotseat: {error}", file=sys.stderr)
        raise SystemExit(2) from None


@app.command()
def serve(
    model: ModelOption = "embedded",
    adapter: AdapterOption = None,
    mode: Annotated[
        str, typer.Option(help="auto, star, anchored, full or prefix; a match may ask for its own.")
    ] = "auto",
    games: GamesOption = None,
    store: Annotated[Path | None, typer.Option(help="Where matches live on disk; without it nothing lasts.")] = None,
    store_budget_mib: Annotated[int | None, typer.Option(min=1, help="The oldest blocks go beyond this.")] = None,
    record: Annotated[Path | None, typer.Option(help="Record every match into this folder.")] = None,
    host: Annotated[str, typer.Option(help="The address to listen on; any but loopback needs a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free port.")] = 8765,
    token: Annotated[str | None, typer.Option(envvar="HOTSEAT_TOKEN", help="What clients must show.")] = None,
    allow_origin: Annotated[
        list[str] | None, typer.Option(help="A web page that may connect, as https://example.org.")
    ] = None,
    pool_mib: PoolOption = 2048,
    max_rows: Annotated[int, typer.Option(min=1, help="Turns join a forward below this many rows.")] = 512,
) -> None:
    """Serve matches over WebSocket (protocol hotseat.v1) until SIGINT or SIGTERM."""
    from agent_runtime.config import EngineSettings, ModelSettings, RuntimeSettings, StoreSettings
    from agent_runtime.replay.recording import MatchRecorder
    from agent_runtime.runtime import open_runtime
    from agent_runtime.server.access import check_start
    from agent_runtime.server.config import ServerConfig
    from agent_runtime.server.lifecycle import serve as serve_until_signal

    config = ServerConfig(host=host, port=port, token=token, allowed_origins=tuple(allow_origin or ()))
    # Before the model is loaded: a refusal should not take half a minute.
    check_start(config)
    settings = RuntimeSettings(
        models={"default": ModelSettings(source=model, adapter=adapter)},
        mode=_mode(mode),
        games=tuple(games or ()),
        engine=EngineSettings(pool_mib=pool_mib, max_rows=max_rows),
        store=StoreSettings(folder=store, budget_mib=store_budget_mib),
    )
    runtime = open_runtime(settings)
    serve_until_signal(runtime, config, recorder=MatchRecorder(record) if record else None)


def _mode(name: str) -> Any:
    if name == "auto" or name in tuple(Mode):
        return name
    raise typer.BadParameter(f"{name!r} is none of auto, {', '.join(Mode)}", param_hint="--mode")


@bench_app.command("turn")
def bench_turn(
    model: ModelOption = "embedded",
    turns: Annotated[int, typer.Option(min=1, help="Measured turns per mode.")] = 30,
    pool_mib: PoolOption = 768,
    as_json: JsonOption = False,
) -> None:
    """Time one turn in every mode, and transformers itself, side by side."""
    from agent_runtime.bench.turn import Workload, bench_turn
    from agent_runtime.engine.loading import ModelSpec, load_model

    def tell(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    report = bench_turn(load_model(ModelSpec(source=model)), Workload(turns=turns, pool_mib=pool_mib), tell)
    if as_json:
        print(json.dumps(report, indent=1))
        return
    for case in report["cases"]:
        times = case["ttft_ms"]
        print(f"{case['case']:>18}  {case['mode']:<46} mean {times['mean']:9.1f} ms   p95 {times['p95']:9.1f} ms")
    for name, ratio in report["ratios"].items():
        print(f"{name:>34}  {ratio:.3f}")


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
