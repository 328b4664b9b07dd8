"""`hotseat serve`."""

from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from agent_runtime.adapter_choice import adapter_named
from agent_runtime.commands.options import (
    AdapterOption,
    GamesOption,
    installed_games,
    mode_or_auto,
    say,
    say_that_it_loads,
)


class LoadOrEncode(StrEnum):
    """The words of `load_or_encode`."""

    AUTO = "auto"
    LOAD = "load"
    ENCODE = "encode"


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
    reload: Annotated[
        bool,
        typer.Option(
            "--reload", help="Take edited game files, and new games, at once, without a restart; for designers."
        ),
    ] = False,
    store: Annotated[Path | None, typer.Option(help="Where matches live on disk; without it nothing lasts.")] = None,
    store_budget_mib: Annotated[int | None, typer.Option(min=1, help="The oldest blocks go beyond this.")] = None,
    record: Annotated[Path | None, typer.Option(help="Record every match into this folder.")] = None,
    host: Annotated[str, typer.Option(help="The address to listen on; any but loopback needs a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free port.")] = 8765,
    token: Annotated[str | None, typer.Option(envvar="HOTSEAT_TOKEN", help="What clients must show.")] = None,
    allow_origin: Annotated[list[str] | None, typer.Option(help="A web page that may connect: https://...")] = None,
    pool_mib: Annotated[int | None, typer.Option(min=1, help="Memory for keys and values (default 2048).")] = None,
    host_cache_mib: Annotated[
        int | None,
        typer.Option(min=0, help="Host memory behind a GPU's pool (default: a quarter of what is free); 0 is none."),
    ] = None,
    load_or_encode: Annotated[
        LoadOrEncode | None,
        typer.Option(help="Whether kept blocks are loaded or encoded again (default auto: what is quicker here)."),
    ] = None,
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
        adapter=None if adapter is None else adapter_named(adapter),
        dtype=dtype,
        device_map=device_map,
        mode=None if mode is None else mode_or_auto(mode),
        games=None if games is None else tuple(games),
        folder=store,
        budget_mib=store_budget_mib,
        pool_mib=pool_mib,
        host_cache_mib=host_cache_mib,
        load_or_encode=None if load_or_encode is None else load_or_encode.value,
    )
    settings = settings.model_copy(update={"games": (*settings.games, *installed_games(say))})
    # Before anything is loaded: a refusal should not take half a minute.
    check_start(listening)
    with bound(listening) as sockets:
        from agent_runtime.composition import open_runtime
        from agent_runtime.engine.garbage import leave_out_what_is_there
        from agent_runtime.game_watch import GameWatcher
        from agent_runtime.replay.recording import MatchRecorder

        say_that_it_loads()
        runtime = open_runtime(settings)
        leave_out_what_is_there()
        recorder = MatchRecorder(record, digests=runtime.digests) if record else None
        taken = recorder.game_taken if recorder else lambda game: None
        with GameWatcher(runtime, say, folders=settings.games, taken=taken) if reload else nullcontext():
            serve_until_signal(runtime, listening, recorder=recorder, sockets=sockets)
