"""`hotseat log`."""

from pathlib import Path
from typing import Annotated

import typer

from agent_runtime.commands.options import JsonOption


def log(
    path: Annotated[Path, typer.Argument(help="A recording, or the folder that --record names.")],
    session: Annotated[str | None, typer.Option(help="Only the turns of this session.")] = None,
    verify: Annotated[bool, typer.Option(help="Refuse a recording that was edited.")] = True,
    as_json: JsonOption = False,
) -> None:
    """List the turns of recordings, as they were answered; with --json one object a line."""
    from agent_runtime.commands.log_output import print_log

    if not print_log(path, session, verify, as_json):
        raise typer.Exit(1)
