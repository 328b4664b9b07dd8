"""`hotseat doctor`."""

from pathlib import Path
from typing import Annotated

import typer

from agent_runtime.adapter_choice import adapter_named
from agent_runtime.commands.options import AdapterOption, GamesOption, JsonOption, ModelOption


def doctor(
    model: ModelOption = "embedded",
    adapter: AdapterOption = None,
    store: Annotated[Path | None, typer.Option(help="The folder that a server is to keep matches in.")] = None,
    games: GamesOption = None,
    host: Annotated[str, typer.Option(help="The address that a server is to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="And its port.")] = 8765,
    token: Annotated[str | None, typer.Option(envvar="HOTSEAT_TOKEN", help="What its clients are to show.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Look only; load no model and measure nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Say what this machine can do and what is missing, with what to do about it. Exit code 1 if something fails."""
    from agent_runtime.commands.doctor_output import print_findings
    from agent_runtime.first_look.doctor import examine
    from agent_runtime.server.config import ServerConfig

    server = ServerConfig(host=host, port=port, token=token)
    findings = examine(
        model=model,
        adapter=adapter_named(adapter),
        store=store,
        games=tuple(games or ()),
        server=server,
        quick=quick,
    )
    if not print_findings(findings, as_json):
        raise typer.Exit(1)
